/**
 * The interpreter against recorded silicon: runs everywhere. Live silicon, with cases nobody has seen before, is live.spec.ts.
 */
import { describe, expect, it } from 'vitest'
import { decode } from '../../cpu/decode.ts'
import { findOpcode, OPCODE_TABLE, type OpcodeEntry } from '../../cpu/opcode-table.ts'
import { EXEMPT, formKey } from './forms.ts'
import { InterpreterSubject } from './interpreter.ts'
import { NO_FAULT, type TestCase } from './protocol.ts'
import { openRecording } from './recorded.ts'
import { decodeRecording, encodeRecording, StaleRecording } from './recording.ts'
import { findDifferences } from './report.ts'

const recording = openRecording()

describe(`silicon recorded on ${recording.processor}`, () => {
  it('agrees with the interpreter in every case', () => {
    const subject = new InterpreterSubject(recording.selectors)
    const found = recording.groups.flatMap(({ cases, results }) => findDifferences(subject, cases, results, 2))
    expect(found.slice(0, 10).join('\n'), `${found.length} differences or more`).toBe('')
  })

  it('would notice a wrong flag, register, byte of memory, selector, address or exception', () => {
    const subject = new InterpreterSubject(recording.selectors)
    const { cases, results } = recording.groups[0] as (typeof recording.groups)[number]
    const right = results[0] as (typeof results)[number]
    const wrong = [
      { ...right, eflags: right.eflags ^ 1 },
      { ...right, gpr: right.gpr.map((value, i) => (i === 5 ? value ^ 1 : value)) },
      { ...right, memory: right.memory.map((value, i) => (i === 63 ? value ^ 1 : value)) },
      { ...right, selectors: right.selectors.map((value, i) => (i === 3 ? 3 : value)) },
      { ...right, eip: right.eip + 1 },
      { ...right, vector: 6 },
    ]
    expect(findDifferences(subject, cases.slice(0, 1), [right])).toEqual([])
    for (const result of wrong) expect(findDifferences(subject, cases.slice(0, 1), [result])).toHaveLength(1)
  })
})

describe('coverage of the opcode table', () => {
  /** What ran to its end, by operand size and kind of operand; faults of their own instruction count as "fault". */
  const reached = new Map<OpcodeEntry, Set<string>>()
  for (const { cases, results } of recording.groups) {
    cases.forEach(({ test }, i) => {
      const { insn } = decode((n) => test.code[n] ?? 0xcc, true)
      const entry = findOpcode(insn.opcode, modrmDigit(test, insn.opcode))
      if (insn.name === '(bad)' || entry === undefined) return
      const set = reached.get(entry) ?? new Set()
      reached.set(entry, set)
      const ended = results[i]?.vector === NO_FAULT
      set.add(ended ? 'ended' : 'fault')
      if (ended) set.add(`${insn.size * 8}-bit`).add(insn.mod === 3 ? 'register' : 'memory')
    })
  }

  it('has a recorded case for every entry that is not exempt', () => {
    const missing = OPCODE_TABLE.filter((entry) => !reached.has(entry) && !isExempt(entry))
    expect(missing.map(entryName)).toEqual([])
  })

  it('has an exemption for no entry that is recorded', () => {
    expect(OPCODE_TABLE.filter((entry) => reached.has(entry) && isExempt(entry)).map(entryName)).toEqual([])
  })

  it('has a case that ends without exception for every entry a user program may run', () => {
    const never = OPCODE_TABLE.filter((entry) => reached.has(entry) && reached.get(entry)?.has('ended') !== true)
    expect([...new Set(never.map((entry) => (entry.name === 'mov' ? entryName(entry) : entry.name)))].sort()).toEqual(
      [...ALWAYS_FAULT].sort(),
    )
  })

  it('has both operand sizes of every entry that has two, and both kinds of operand of every r/m', () => {
    const incomplete: string[] = []
    for (const entry of OPCODE_TABLE) {
      const set = reached.get(entry)
      if (set?.has('ended') !== true) continue
      const want: string[] = entry.op16 === entry.op32 ? [] : ['16-bit', '32-bit']
      if (entry.operands.some((kind) => ['Eb', 'Ev', 'Ew'].includes(kind))) want.push('register', 'memory')
      for (const kind of want) if (!set.has(kind)) incomplete.push(`${entryName(entry)}: ${kind}`)
    }
    expect(incomplete).toEqual([])
  })
})

describe('the recording', () => {
  it('survives being written and read, but for the flags that are undefined', () => {
    const again = decodeRecording(encodeRecording(recording))
    expect(again.groups.map(({ results }) => results)).toEqual(recording.groups.map(({ results }) => results))
  })

  it('is refused when the generator makes other cases', () => {
    const bytes = encodeRecording({ ...recording, seed: recording.seed + 1 })
    expect(() => decodeRecording(bytes)).toThrow(StaleRecording)
  })
})

/** Instructions that raise an exception in ring 3 whatever their operands. */
const ALWAYS_FAULT = [
  'clts',
  'cli',
  'hlt',
  'in',
  'ins',
  'insb',
  'int',
  'int1',
  'int3',
  'invd',
  'invlpg',
  'lgdt',
  'lidt',
  'lldt',
  'lmsw',
  'ltr',
  'f20 mov',
  'f21 mov',
  'f22 mov',
  'f23 mov',
  'out',
  'outs',
  'outsb',
  'rdmsr',
  'sti',
  'sysexit',
  'ud2',
  'wbinvd',
  'wrmsr',
]

function modrmDigit(test: TestCase, opcode: number): number {
  const at = test.code.findIndex((byte, i) =>
    opcode >= 0x100 ? byte === 0x0f && test.code[i + 1] === (opcode & 0xff) : byte === opcode,
  )
  return ((test.code[at + (opcode >= 0x100 ? 2 : 1)] ?? 0) >>> 3) & 7
}

function isExempt(entry: OpcodeEntry): boolean {
  return formKey(entry) in EXEMPT
}

function entryName(entry: OpcodeEntry): string {
  return `${formKey(entry)} ${entry.name}`
}
