/**
 * A Linux guest of the user's own, where there is one: software that was not written for Kennel. Nothing of Linux is in the project,
 * so its files are named by the environment, and without them these tests are skipped:
 *
 *      KENNEL_LINUX_KERNEL   vmlinux or bzImage, 32-bit, without PAE, with LGUEST_GUEST, virtio console and initrd support built in
 *      KENNEL_LINUX_INITRD   an initial RAM disk that ends in a shell on hvc0 that knows "poweroff -f" and "reboot -f"
 *      KENNEL_LINUX_PROMPT   what it prints when it is ready; without it, the last line ends in "# " or "$ "
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import type { RunStatistics } from '../src/cli/run-statistics.ts'
import { Computer, type GuestExit } from '../src/emu/index.ts'
import { MIB } from '../src/emu/layout/memory.ts'
import { findBrokenInvariants } from '../src/emu/lguest/invariants.ts'

const { KENNEL_LINUX_KERNEL: kernel = '', KENNEL_LINUX_INITRD: initrd = '', KENNEL_LINUX_PROMPT: marker } = process.env
const APPEND = 'console=hvc0 quiet'
const KENNEL = join(import.meta.dirname, '../bin/kennel')
/** Milliseconds one boot may take on a slow, busy machine. */
const LONG = 300_000

const folder = mkdtempSync(join(tmpdir(), 'kennel-linux-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** Where the marker ends in `text`, or -1. Some shells ask the terminal where its cursor is behind their prompt. */
function ready(text: string): number {
  if (marker !== undefined) return text.includes(marker) ? text.indexOf(marker) + marker.length : -1
  return /[#$] (\x1b\[6n)?$/.test(text) ? text.length : -1
}

/** Runs the guest; types one line at each prompt. */
async function run(lines: readonly string[], ...options: string[]) {
  const stats = join(folder, 'stats.json')
  const files = ['--kernel', kernel, '--initrd', initrd, '--append', APPEND, '--stats', stats]
  const child = spawn(process.execPath, [KENNEL, 'run', ...files, '--timeout', String(LONG / 1000), ...options])
  let stdout = ''
  let stderr = ''
  let seen = 0
  let typed = 0
  child.stdout.on('data', (data: Buffer) => {
    stdout += data.toString('latin1')
    const end = ready(stdout.slice(seen))
    if (end < 0 || typed === lines.length) return
    seen += end
    child.stdin.write(`${lines[typed++]}\r`)
  })
  child.stderr.on('data', (data: Buffer) => (stderr += data.toString()))
  const status = await new Promise<number | null>((resolve) => child.on('close', resolve))
  return { status, stderr, typed, statistics: JSON.parse(readFileSync(stats, 'utf8')) as RunStatistics }
}

describe.skipIf(kernel === '' || initrd === '')('a Linux guest', () => {
  it.each([
    ['copying only what changed', []],
    ['copying everything, on one CPU', ['--copy', 'always', '--cpus', '1']],
  ])('boots to its prompt and powers off, %s', { timeout: LONG }, async (_, options) => {
    const { status, stderr, statistics } = await run(['poweroff -f'], ...options)
    expect({ status, stderr, exit: statistics.exit.reason }).toEqual({ status: 0, stderr: '', exit: 'poweroff' })

    const { cpus, hypercalls, pageFaults, interrupts } = statistics
    expect(hypercalls).toMatchObject({ LGUEST_INIT: 1, SHUTDOWN: 1 })
    // The whole interrupt table, at least once; processes; a timer; a console.
    expect(hypercalls.LOAD_IDT_ENTRY).toBeGreaterThanOrEqual(256)
    for (const name of ['NEW_PGTABLE', 'SET_PTE', 'SET_STACK', 'LOAD_TLS', 'SET_CLOCKEVENT', 'NOTIFY']) {
      expect([name, hypercalls[name] > 0]).toEqual([name, true])
    }
    expect(interrupts).toBeGreaterThan(0)
    expect(pageFaults.demand).toBeGreaterThan(pageFaults.reflected)
    for (const { worldSwitches, switchesByTrap, copied, elided } of cpus) {
      expect(Object.values(switchesByTrap).reduce((sum, n) => sum + n, 0)).toBe(worldSwitches)
      if (options.length > 0) expect([copied.idt, copied.gdt, elided]).toEqual([worldSwitches, worldSwitches, 0])
      else if (worldSwitches > 0) expect(elided / worldSwitches).toBeGreaterThan(0.5)
    }
    const switches = cpus.reduce((sum, { worldSwitches }) => sum + worldSwitches, 0)
    expect(switches).toBeGreaterThan(pageFaults.demand + pageFaults.reflected)
  })

  it('restarts', { timeout: 2 * LONG }, async () => {
    const { status, stderr, typed, statistics } = await run(['reboot -f', 'poweroff -f'])
    expect({ status, stderr, typed }).toEqual({ status: 0, stderr: '', typed: 2 })
    expect(statistics.hypercalls).toMatchObject({ LGUEST_INIT: 2, SHUTDOWN: 2 })
  })

  it('breaks no invariant, and gives every page back', { timeout: 2 * LONG }, () => {
    const computer = new Computer({ cpus: 2, ramSize: 256 * MIB, clock: 'virtual' })
    computer.runSlice(4000)
    const free = computer.kernel.allocator.freePages
    let output = ''
    let exit: GuestExit | undefined
    const guest = computer.startGuest({
      name: 'linux',
      kernel: { name: kernel, bytes: readFileSync(kernel) },
      initrd: { name: initrd, bytes: readFileSync(initrd) },
      append: APPEND,
      memory: 64 * MIB,
      console: { write: (bytes) => (output += String.fromCharCode(...bytes)) },
      onExit: (how) => (exit = how),
    })
    for (let turn = 0; turn < 1000 && exit === undefined; turn++) {
      const before = ready(output)
      computer.runSlice(1_000_000)
      expect(findBrokenInvariants(computer.hypervisor)).toEqual([])
      if (before < 0 && ready(output) >= 0) guest.type(new TextEncoder().encode('poweroff -f\r'))
    }
    expect(exit).toEqual({ kind: 'poweroff', reason: 'powered off' })
    expect(free - computer.kernel.allocator.freePages).toBe(0)
  })
})
