/**
 * A Kennel to test, with a home folder of its own: the web front in a browser, or the desktop application where an Electron binary is
 * found. What the journeys need of either has one shape.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { _electron, type BrowserContext, type ElectronApplication, type Page } from '@playwright/test'

const ROOT = join(import.meta.dirname, '..')

/** Electron's binary: $KENNEL_ELECTRON, or the one its package downloaded. */
export function electronBinary(): string | undefined {
  const wanted = process.env['KENNEL_ELECTRON']
  if (wanted) return wanted
  const folder = join(ROOT, 'node_modules', 'electron')
  try {
    const file = join(folder, 'dist', readFileSync(join(folder, 'path.txt'), 'utf8').trim())
    return existsSync(file) ? file : undefined
  } catch {
    return undefined
  }
}

/** Why the desktop application cannot be tested here; undefined where it can. */
export function whyNoElectron(): string | undefined {
  if (electronBinary() === undefined) return 'no Electron binary here'
  if (process.platform === 'linux' && !process.env['DISPLAY'] && !process.env['WAYLAND_DISPLAY'])
    return 'no display here'
  return undefined
}

export abstract class Front {
  readonly home: string

  constructor(home: string) {
    this.home = home
  }

  /** Starts Kennel and opens its window. */
  abstract open(context: BrowserContext): Promise<Page>
  /** Ends Kennel, its engine and its guests. */
  abstract close(): Promise<void>
  protected abstract rootPid(): number
  /** What the engine's command line has and no other process of this Kennel. */
  protected abstract readonly engineMark: string

  /** The engine's process. */
  enginePid(): number {
    const parentOf = (pid: number): number =>
      Number(/^\d+ \(.*\) \S (\d+)/.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'))?.[1])
    const own = this.rootPid()
    const found = readdirSync('/proc').filter((name) => {
      if (!/^\d+$/.test(name)) return false
      try {
        if (!readFileSync(`/proc/${name}/cmdline`, 'utf8').includes(this.engineMark)) return false
        for (let pid = Number(name); pid > 1; pid = parentOf(pid)) if (pid === own) return true
      } catch {
        // It has ended meanwhile.
      }
      return false
    })
    if (found.length !== 1) throw new Error(`${found.length} engines instead of one`)
    return Number(found[0])
  }

  /** Runs a command of the command line against this Kennel. */
  async cli(...args: string[]): Promise<{ status: number | null; stdout: string; stderr: string }> {
    const child = spawn(process.execPath, [join(ROOT, 'bin', 'kennel'), ...args], {
      env: { ...process.env, KENNEL_HOME: this.home },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let stdout = ''
    let stderr = ''
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()))
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
    const status = await new Promise<number | null>((resolve) => child.once('close', resolve))
    return { status, stdout, stderr }
  }
}

export class WebFront extends Front {
  protected readonly engineMark = 'entry.mjs'
  /** The address with the token. */
  url = ''
  private child: ChildProcess | null = null

  async open(context: BrowserContext): Promise<Page> {
    const child = spawn(process.execPath, [join(ROOT, 'bin', 'kennel'), 'serve', '--port', '0'], {
      env: { ...process.env, KENNEL_HOME: this.home },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    this.child = child
    let text = ''
    this.url = await new Promise<string>((resolve, reject) => {
      child.stdout.on('data', (chunk: Buffer) => {
        text += chunk.toString()
        const match = /Kennel is at (\S+)/.exec(text)
        if (match) resolve(match[1])
      })
      child.once('exit', (code) => reject(new Error(`kennel serve ended with ${String(code)}: ${text}`)))
    })
    const page = context.pages()[0] ?? (await context.newPage())
    await page.goto(this.url)
    return page
  }

  async close(): Promise<void> {
    const { child } = this
    if (child === null || child.exitCode !== null) return
    const gone = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGTERM')
    await gone
  }

  protected rootPid(): number {
    return this.child?.pid ?? 0
  }
}

export class DesktopApp extends Front {
  protected readonly engineMark = 'NodeService'
  private app: ElectronApplication | null = null

  async open(): Promise<Page> {
    const sandbox = process.getuid?.() === 0 ? ['--no-sandbox'] : []
    this.app = await _electron.launch({
      executablePath: electronBinary() ?? '',
      args: [...sandbox, ROOT],
      env: { ...(process.env as Record<string, string>), KENNEL_HOME: this.home },
    })
    return this.app.firstWindow()
  }

  async close(): Promise<void> {
    // Guests that run would be asked about: they are turned off first.
    const { stdout } = await this.cli('ls', '--json')
    const guests = (stdout === '' ? [] : JSON.parse(stdout)) as { id: string; state: string }[]
    for (const { id, state } of guests) {
      if (['running', 'paused', 'stopping'].includes(state)) await this.cli('stop', id, '--force')
    }
    await this.app?.close()
    this.app = null
  }

  protected rootPid(): number {
    return this.app?.process().pid ?? 0
  }
}
