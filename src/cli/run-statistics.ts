/** The JSON object of `--stats` (README, "Statistics"): a contract with scripts, so it is written down field by field. */
import type { Computer } from '../emu/index.ts'

export interface RunStatistics {
  readonly schema: 1
  /** Real time of the run. */
  readonly seconds: number
  readonly instructions: number
  readonly exit: { readonly reason: string; readonly detail: string }
  readonly cpus: readonly {
    readonly worldSwitches: number
    readonly switchesByTrap: Readonly<Record<string, number>>
    readonly copied: {
      readonly idt: number
      readonly gdt: number
      readonly tls: number
      readonly all: number
      readonly bytes: number
    }
    readonly elided: number
  }[]
  readonly hypercalls: Readonly<Record<string, number>>
  readonly interrupts: number
  readonly pageFaults: { readonly demand: number; readonly reflected: number }
  readonly jit: Readonly<Record<string, number>>
}

export function runStatistics(
  computer: Computer,
  seconds: number,
  exit: { reason: string; detail: string },
): RunStatistics {
  const { instructions, cpus, hypercalls, interrupts, pageFaults } = computer.statistics()
  return {
    schema: 1,
    seconds: Math.round(seconds * 1000) / 1000,
    instructions,
    exit,
    cpus: cpus.map(({ worldSwitches, switchesByTrap, copied, elided }) => ({
      worldSwitches,
      switchesByTrap,
      copied,
      elided,
    })),
    hypercalls,
    interrupts,
    pageFaults,
    jit: {},
  }
}
