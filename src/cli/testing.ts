/** For specs: the command as others see it, a process with a standard input, two outputs and an exit status. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { linkSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, vi } from 'vitest'
import type { RunStatistics } from './run-statistics.ts'

export const KENNEL = join(import.meta.dirname, '../../bin/kennel')

/** Milliseconds a run may take before it counts as one that never ends; SIGTERM then, which bin/kennel passes on. */
export const NEVER = 500_000

const root = join(import.meta.dirname, '../..')
const OWN_NODE = join(root, 'node_modules/node/bin/node')

let folder: string
let nodeFolder: string | undefined
/** What runs bin/kennel. Not the Node that comes with the packages: as for most people, bin/kennel then starts that one below itself. */
export let node = process.execPath
const begun: ChildProcess[] = []

/** To be called once in a spec: bundles, so that nothing later waits for it, and clears up. */
export function useKennel(): void {
  vi.setConfig({ testTimeout: 2 * NEVER, hookTimeout: NEVER })
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'kennel-run-'))
    spawnSync(process.execPath, [KENNEL, '--version'])
    if (process.execPath !== OWN_NODE) return
    nodeFolder = mkdtempSync(join(root, 'out', 'node-'))
    node = join(nodeFolder, 'node')
    linkSync(OWN_NODE, node)
  })
  // Whatever a test that failed has left running.
  afterEach(() => begun.splice(0).forEach((child) => child.kill()))
  afterAll(() => {
    for (const made of [folder, nodeFolder]) if (made !== undefined) rmSync(made, { recursive: true, force: true })
  })
}

/** In a folder of the spec's own. */
export const path = (name: string): string => join(folder, name)

export function kennel(input: string, ...args: string[]): { status: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync(node, [KENNEL, ...args], {
    input,
    encoding: 'utf8',
    timeout: NEVER,
  })
  return { status, stdout: stdout.replaceAll('\r', ''), stderr }
}

/** Statistics of a run as `--stats` wrote them. */
export const statistics = (file: string): RunStatistics => JSON.parse(readFileSync(file, 'utf8')) as RunStatistics

interface Begun {
  readonly child: ChildProcess
  until(text: string): Promise<void>
  /** All it has printed up to now. */
  text(): string
  errors(): string
  readonly ended: Promise<string | number | null>
}

/** Starts a run that the spec then talks to. */
export function begin(...args: string[]): Begun {
  return watch(spawn(node, [KENNEL, ...args], { stdio: ['pipe', 'pipe', 'pipe'] }))
}

/** The same in a process group of its own, as a shell starts it. */
export function beginGroup(...args: string[]): Begun {
  return watch(spawn(node, [KENNEL, ...args], { stdio: ['pipe', 'pipe', 'pipe'], detached: true }))
}

function watch(child: ChildProcess): Begun {
  begun.push(child)
  let [text, errors] = ['', '']
  let looked = 0
  let wake = (): void => {}
  child.stderr?.on('data', (chunk: Buffer) => (errors += chunk.toString()))
  child.stdout?.on('data', (chunk: Buffer) => {
    text += chunk.toString()
    wake()
  })
  return {
    child,
    text: () => text,
    errors: () => errors,
    until: async (wanted) => {
      while (!text.includes(wanted, looked)) await new Promise<void>((resolve) => (wake = resolve))
      looked = text.indexOf(wanted, looked) + wanted.length
    },
    ended: new Promise((resolve) => child.once('exit', (code, signal) => resolve(signal ?? code))),
  }
}
