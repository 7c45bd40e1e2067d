/** The JSON object of `--stats` (README, "Statistics"): a contract with scripts, so it is written down field by field. */
import { closeSync, openSync, writeFileSync } from 'node:fs'
import type { Computer } from '../emu/index.ts'
import { say, UsageError } from './messages.ts'

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

/** The file of `--stats`: opened before the run, so that nobody waits for a run whose statistics go nowhere. */
export class StatisticsFile {
  private readonly file: string
  private readonly fd: number

  /** Empties the file, or makes it. Throws UsageError. */
  constructor(file: string) {
    this.file = file
    try {
      this.fd = openSync(file, 'w')
    } catch (error) {
      throw new UsageError(`The statistics cannot be written to ${file}: ${why(error)}.`)
    }
  }

  /** Once, at the end. False, and said, when it is impossible. */
  write(statistics: RunStatistics): boolean {
    try {
      writeFileSync(this.fd, `${JSON.stringify(statistics, null, 2)}\n`)
      return true
    } catch (error) {
      say(`the statistics could not be written to ${this.file}: ${why(error)}`)
      return false
    } finally {
      closeSync(this.fd)
    }
  }
}

function why(error: unknown): string {
  const code = (error as { code?: string }).code
  if (code === 'ENOENT') return 'its folder does not exist'
  if (code === 'EISDIR') return 'it is a folder'
  if (code === 'EACCES' || code === 'EROFS') return 'you may not write there'
  return error instanceof Error ? error.message : String(error)
}
