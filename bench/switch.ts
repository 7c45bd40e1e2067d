/**
 * `kennel bench switch`: what the seed patch saves. The same work, alternately with tables copied only when they changed ('elide') and with
 * everything copied on every world switch ('always', as before the patch), in one process; the best round of each counts.
 *
 *   world switch          a guest that does nothing but hypercalls
 *   two guests, one CPU   two of them taking turns by time slices: each turn must copy
 *   in pup: ...           pup's own `bench`, by its own clock; "context switch through a pipe" is what the seed's author measured
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { assemble } from '../src/emu/asm/assembler.ts'
import { Computer } from '../src/emu/index.ts'
import { MIB } from '../src/emu/layout/memory.ts'
import { LguestData, LHCALL, LHCALL_RING_SIZE } from '../src/emu/layout/lguest-data.ts'
import { elfImage } from '../src/emu/testing/elf-image.ts'

type CopyMode = 'elide' | 'always'
const MODES: readonly CopyMode[] = ['elide', 'always']

/** Nanoseconds, and how many times as long 'always' takes. */
export interface SwitchResult {
  readonly name: string
  readonly elide: number
  readonly always: number
  readonly ratio: number
}

export interface SwitchReport {
  readonly results: readonly SwitchResult[]
  /** Bytes copied a world switch, and world switches a second, of the first line. */
  readonly bytes: Readonly<Record<CopyMode, number>>
  readonly perSecond: Readonly<Record<CopyMode, number>>
}

/** How often each mode of a loop is measured; pup's bench, which takes longer, half as often. */
export const DEFAULT_ROUNDS = 6
/** A run of pup's bench that takes longer has gone wrong. */
const PUP_LIMIT_MS = 600_000
const LOAD_ADDRESS = 0x10_0000

/** A guest of one loop: FLUSH_ASYNC, which does nothing. */
function hypercallGuest(): Uint8Array {
  const source = `
    mov eax, ${LHCALL.LGUEST_INIT}
    mov ebx, data
    int 0x1f
loop_:
    mov eax, ${LHCALL.FLUSH_ASYNC}
    int 0x1f
    jmp loop_
    .align 4096
data:
    .space ${LguestData.offset.hcall_status}
    .rept ${LHCALL_RING_SIZE}
    .byte 0xff
    .endr
    .space ${LguestData.size - LguestData.offset.hcall_status - LHCALL_RING_SIZE}`
  const code = assemble(source, { origin: LOAD_ADDRESS, symbols: {} }).bytes
  const { labels } = assemble(source, { origin: LOAD_ADDRESS, symbols: {} })
  const view = new DataView(code.buffer, code.byteOffset)
  const data = labels['data'] - LOAD_ADDRESS
  view.setUint32(data + LguestData.offset.kernel_address, 0xc000_0000, true)
  view.setUint32(data + LguestData.offset.syscall_vec, 0x80, true)
  return elfImage(code, LOAD_ADDRESS)
}

interface Measured {
  readonly nanoseconds: number
  readonly bytes: number
}

class Loop {
  private readonly computer: Computer

  constructor(guests: number) {
    this.computer = new Computer({ cpus: 1, ramSize: 64 * MIB, clock: 'virtual' })
    for (let i = 0; i < guests; i++) {
      this.computer.startGuest({
        name: `loop${i}`,
        kernel: { name: 'loop', bytes: hypercallGuest() },
        memory: 4 * MIB,
        console: { write: () => {} },
        onExit: ({ reason }) => {
          throw new Error(`the benchmark's guest ended: ${reason}`)
        },
      })
    }
    this.computer.runSlice(200_000)
  }

  /** Nanoseconds and bytes a world switch. */
  measure(mode: CopyMode): Measured {
    const { computer } = this
    computer.copyMode = mode
    const before = computer.statistics().cpus[0]
    const start = performance.now()
    computer.runSlice(2_000_000)
    const elapsed = performance.now() - start
    const after = computer.statistics().cpus[0]
    const switches = after.worldSwitches - before.worldSwitches
    return {
      nanoseconds: (elapsed * 1e6) / switches,
      bytes: (after.copied.bytes - before.copied.bytes) / switches,
    }
  }
}

function line(name: string, elide: number, always: number): SwitchResult {
  return { name, elide: Math.round(elide), always: Math.round(always), ratio: Math.round((always / elide) * 100) / 100 }
}

function measureLoop(name: string, guests: number, rounds: number) {
  const loop = new Loop(guests)
  const best: Record<CopyMode, Measured> = {
    elide: { nanoseconds: Infinity, bytes: 0 },
    always: { nanoseconds: Infinity, bytes: 0 },
  }
  for (const mode of MODES) loop.measure(mode)
  for (let round = 0; round < rounds; round++) {
    for (const mode of MODES) {
      const measured = loop.measure(mode)
      if (measured.nanoseconds < best[mode].nanoseconds) best[mode] = measured
    }
  }
  return { result: line(name, best.elide.nanoseconds, best.always.nanoseconds), best }
}

/** One run of pup's `bench`: nanoseconds by name, by the guest's own clock, which is real time here. */
function pupBench(folder: string, mode: CopyMode): Map<string, number> {
  let output = ''
  let over = false
  const computer = new Computer({
    cpus: 1,
    ramSize: 128 * MIB,
    clock: () => Math.round(performance.now() * 1e6),
    copy: mode,
  })
  const file = (name: string) => ({ name, bytes: readFileSync(join(folder, 'guests', 'pup', name)) })
  computer.startGuest({
    name: 'pup',
    kernel: file('pup.elf'),
    initrd: file('initrd.img'),
    memory: 80 * MIB,
    append: 'quiet run="bench"',
    console: { write: (bytes) => (output += String.fromCharCode(...bytes)) },
    onExit: () => (over = true),
  })
  const limit = performance.now() + PUP_LIMIT_MS
  // While pup waits for its timer there is nothing else to do here than to look at the clock again.
  while (!over && performance.now() < limit) computer.runSlice(100_000)
  if (!over) throw new Error(`pup's bench did not end in ${PUP_LIMIT_MS / 1000} s`)
  return new Map([...output.matchAll(/^(.+): (\d+) ns\r?$/gm)].map(([, name, ns]) => [name, Number(ns)]))
}

function measurePup(folder: string, rounds: number): SwitchResult[] {
  const best: Record<CopyMode, Map<string, number>> = { elide: new Map(), always: new Map() }
  for (let round = 0; round < rounds; round++) {
    for (const mode of MODES) {
      for (const [name, ns] of pupBench(folder, mode)) {
        best[mode].set(name, Math.min(best[mode].get(name) ?? Infinity, ns))
      }
    }
  }
  return [...best.elide].flatMap(([name, elide]) => {
    const always = best.always.get(name)
    return always === undefined ? [] : [line(`in pup: ${name}`, elide, always)]
  })
}

/** `folder` is where Kennel is installed. */
export function benchSwitch(folder: string, rounds: number, report: (result: SwitchResult) => void): SwitchReport {
  const one = measureLoop('world switch', 1, rounds)
  report(one.result)
  const two = measureLoop('world switch, two guests on one CPU', 2, rounds)
  report(two.result)
  const pup = measurePup(folder, Math.ceil(rounds / 2))
  pup.forEach(report)
  const { elide, always } = one.best
  return {
    results: [one.result, two.result, ...pup],
    bytes: { elide: elide.bytes, always: always.bytes },
    perSecond: { elide: 1e9 / elide.nanoseconds, always: 1e9 / always.nanoseconds },
  }
}
