/**
 * Where Kennel keeps a user's things. One folder, private to the user:
 *
 *   settings.json    library/<id>/    trash/<id>/    staging/    logs/    kennel.sock
 *
 * It is $KENNEL_HOME, else what the operating system has for applications' data.
 */
import { homedir } from 'node:os'
import { join } from 'node:path'

export function kennelHome(env: NodeJS.ProcessEnv = process.env): string {
  if (env['KENNEL_HOME']) return env['KENNEL_HOME']
  if (process.platform === 'darwin') return join(homedir(), 'Library', 'Application Support', 'Kennel')
  if (process.platform === 'win32') return join(env['APPDATA'] ?? homedir(), 'Kennel')
  return join(env['XDG_DATA_HOME'] ?? join(homedir(), '.local', 'share'), 'kennel')
}

/** The local socket by which the command line talks to the running engine (a named pipe on Windows). */
export function controlSocket(home: string): string {
  if (process.platform === 'win32') return `\\\\.\\pipe\\kennel-${Buffer.from(home).toString('hex').slice(-64)}`
  return join(home, 'kennel.sock')
}
