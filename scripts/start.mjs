#!/usr/bin/env node
/** `npm start`: the desktop application; where no Electron binary or no display can be had, the same in a browser. */
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..')
/** Milliseconds the download may take. */
const FETCH_LIMIT = 15 * 60_000

/** Electron's binary, as its package knows it; undefined when it is not there. */
function electronBinary() {
  const folder = join(root, 'node_modules', 'electron')
  try {
    const dist = process.env.ELECTRON_OVERRIDE_DIST_PATH ?? join(folder, 'dist')
    const file = join(dist, readFileSync(join(folder, 'path.txt'), 'utf8').trim())
    return existsSync(file) ? file : undefined
  } catch {
    return undefined
  }
}

/** The package comes without the binary and fetches it when it is first wanted: now. */
function fetchElectron() {
  console.log('Fetching Electron (about 110 MB, once)…')
  spawnSync(process.execPath, [join(root, 'node_modules', 'electron', 'install.js')], {
    stdio: ['ignore', 'inherit', 'ignore'],
    timeout: FETCH_LIMIT,
  })
  return electronBinary()
}

/** Why there can be no window here, whatever is installed. */
function whyNoWindow() {
  if (process.platform !== 'linux') return undefined
  const { DISPLAY, WAYLAND_DISPLAY } = process.env
  if (!DISPLAY && !WAYLAND_DISPLAY) return 'there is no display'
  if (process.getuid() === 0) return 'Electron does not run as root'
  return undefined
}

let why = whyNoWindow()
const electron = why === undefined ? (electronBinary() ?? fetchElectron()) : undefined
if (why === undefined && electron === undefined) why = 'Electron’s binary could not be fetched'
let command = [process.execPath, join(root, 'bin', 'kennel'), 'serve', ...process.argv.slice(2)]
if (why === undefined) {
  console.log('Building the application…')
  const built = spawnSync(join(root, 'node_modules', '.bin', 'electron-vite'), ['build', '--logLevel', 'error'], {
    cwd: root,
    stdio: 'inherit',
  })
  if (built.status !== 0) process.exit(1)
  command = [electron, root, ...process.argv.slice(2)]
} else console.log(`Kennel’s window cannot open (${why}): this is the same in your browser. Ctrl-C ends it.`)

const child = spawn(command[0], command.slice(1), { stdio: 'inherit' })
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
child.on('exit', (code, signal) => {
  if (signal === null) process.exit(code ?? 1)
  process.removeAllListeners(signal)
  process.kill(process.pid, signal)
})
