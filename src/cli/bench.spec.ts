/** `kennel bench` from outside: what it prints and what it writes. How large the figures are is nobody's business here. */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'

const KENNEL = join(import.meta.dirname, '../../bin/kennel')
/** Milliseconds after which it counts as one that never ends. */
const NEVER = 500_000
vi.setConfig({ testTimeout: 2 * NEVER, hookTimeout: NEVER })
let folder: string

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'kennel-bench-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function bench(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [KENNEL, 'bench', ...args], {
    encoding: 'utf8',
    timeout: NEVER,
  })
  return { status, stdout, stderr }
}

const json = (file: string): unknown => JSON.parse(readFileSync(file, 'utf8'))

describe('kennel bench', () => {
  it('switch: nanoseconds of each mode and their ratio, as a table and as JSON', () => {
    const file = join(folder, 'switch.json')
    const { status, stdout, stderr } = bench('switch', '--rounds', '1', '--json', file)
    expect([status, stderr]).toEqual([0, ''])

    const results = json(file) as { name: string; elide: number; always: number; ratio: number }[]
    const names = results.map(({ name }) => name)
    expect(names.slice(0, 2)).toEqual(['world switch', 'world switch, two guests on one CPU'])
    // What the seed's author measured, in pup.
    expect(names).toContain('in pup: context switch through a pipe')
    expect(names).toContain('in pup: null hypercall')
    expect(new Set(names).size).toBe(names.length)
    for (const result of results) {
      expect(Object.keys(result)).toEqual(['name', 'elide', 'always', 'ratio'])
      const { name, elide, always, ratio } = result
      expect(Number.isSafeInteger(elide) && elide > 0, `${name}: elide ${elide}`).toBe(true)
      expect(Number.isSafeInteger(always) && always > 0, `${name}: always ${always}`).toBe(true)
      // Of the figures before they were rounded to whole nanoseconds.
      expect(ratio, name).toBeGreaterThanOrEqual((always - 0.5) / (elide + 0.5) - 0.006)
      expect(ratio, name).toBeLessThanOrEqual((always + 0.5) / (elide - 0.5) + 0.006)
      const row = stdout
        .split('\n')
        .find((line) => line.startsWith(`${name} `) && line.trim().endsWith(ratio.toFixed(2)))
      expect(row?.slice(name.length).trim().split(/ +/), name).toEqual([`${elide}`, `${always}`, ratio.toFixed(2)])
    }
    // Not a figure of speed: nothing is copied again for a guest that changed nothing.
    expect(stdout).toMatch(/^elide: [\d,]+ world switches a second, 0 bytes copied in each$/m)
    const [, bytes] = /^always: [\d,]+ world switches a second, (\d+) bytes copied in each$/m.exec(stdout) ?? []
    expect(Number(bytes)).toBeGreaterThan(100)
  })

  it('interp: million instructions a second of each program', () => {
    const file = join(folder, 'interp.json')
    const { status, stdout } = bench('interp', '--json', file)
    expect(status).toBe(0)
    const results = json(file) as { name: string; mips: number }[]
    expect(results.map(({ name }) => name)).toEqual(['integer', 'shifts', 'memory', 'calls', 'branches', 'bytes'])
    for (const { name, mips } of results) {
      expect(mips, name).toBeGreaterThan(0)
      expect(stdout).toMatch(new RegExp(`^  ${name} +${mips.toFixed(1).replace('.', '\\.')}$`, 'm'))
    }
  })

  it.each([
    [['swich'], 'There is no benchmark “swich”. There are: interp, switch, app.'],
    [['switch', 'constructor'], 'There is no benchmark “constructor”. There are: interp, switch, app.'],
    [['--rounds', '0'], '--rounds is a number from 1 to 100.'],
    [['--rounds', '101'], '--rounds is a number from 1 to 100.'],
    [['--rounds', '1.5'], '--rounds is a number from 1 to 100.'],
    [['--rounds', ''], '--rounds is a number from 1 to 100.'],
    [['--fast'], "Unknown option '--fast'."],
    [['--json'], '--json needs a value.'],
  ])('refuses %j with status 2, before it measures anything', (args, sentence) => {
    expect(bench(...args)).toEqual({ status: 2, stdout: '', stderr: `kennel: ${sentence}\n` })
  })

  it('says so when the results cannot be written, before it measures anything', () => {
    const file = join(folder, 'no', 'such', 'folder.json')
    const stderr = `kennel: The results cannot be written to ${file}: its folder does not exist.\n`
    expect(bench('interp', '--json', file)).toEqual({ status: 2, stdout: '', stderr })
    expect(existsSync(file)).toBe(false)
  })
})
