#!/usr/bin/env node
/** `npm start`: the desktop application; where no Electron binary or no display can be had, the same in a browser. */
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..')

/** Electron's binary, as its package knows it; undefined when it was not downloaded. */
function electronBinary() {
  const folder = join(root, 'node_modules', 'electron')
  try {
    const file = join(folder, 'dist', readFileSync(join(folder, 'path.txt'), 'utf8').trim())
    return existsSync(file) ? file : undefined
  } catch {
    return undefined
  }
}

function whyNotDesktop(electron) {
  if (!electron) return 'no Electron binary was downloaded'
  const { DISPLAY, WAYLAND_DISPLAY } = process.env
  if (process.platform === 'linux' && !DISPLAY && !WAYLAND_DISPLAY) return 'there is no display'
  if (process.platform === 'linux' && process.getuid() === 0) return 'Electron does not run as root'
  return undefined
}

const electron = electronBinary()
const why = whyNotDesktop(electron)
let command = [process.execPath, join(root, 'bin', 'kennel'), 'serve', ...process.argv.slice(2)]
if (why === undefined) {
  console.log('Building the application…')
  const built = spawnSync(join(root, 'node_modules', '.bin', 'electron-vite'), ['build', '--logLevel', 'error'], {
    cwd: root,
    stdio: 'inherit',
  })
  if (built.status !== 0) process.exit(1)
  command = [electron, root]
} else console.log(`Kennel’s window cannot open (${why}): this is the same in your browser. Ctrl-C ends it.`)

const child = spawn(command[0], command.slice(1), { stdio: 'inherit' })
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
child.on('exit', (code, signal) => {
  if (signal === null) process.exit(code ?? 1)
  process.removeAllListeners(signal)
  process.kill(process.pid, signal)
})
