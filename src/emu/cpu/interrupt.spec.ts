import { describe, expect, it } from 'vitest'
import { PENDING_INTR, PENDING_NMI, S_HALTED, S_IDT_LIMIT, S_NMI_BLOCKED } from '../layout/cpu-state.ts'
import {
  DESC_CALL_GATE32,
  DESC_INT_GATE16,
  DESC_TASK_GATE,
  DESC_TRAP_GATE32,
  DS,
  FLAG_IF,
  FLAG_NT,
  FLAG_RF,
  FLAG_TF,
} from '../layout/x86.ts'
import {
  CODE,
  CODE_SELECTOR,
  DATA_SELECTOR,
  type DescriptorSpec,
  FREE,
  type GateSpec,
  HANDLERS,
  ProtectedMode,
  type Ring,
  STACK_TOPS,
  TSS,
  TSS_SELECTOR,
} from '../testing/protected-mode.ts'

const machine = new ProtectedMode()
const { driver } = machine
const VECTOR = 0x40
const VECTOR_ERROR = (VECTOR * 8 + 2).toString(16)

describe('INT n', () => {
  /** [what, ring, gate, descriptor at FREE, outcome] */
  type Row = [string, Ring, Partial<Omit<GateSpec, 'kind'>> | null, DescriptorSpec | null, string]
  const table: Row[] = [
    ['interrupt gate', 3, {}, null, 'int 40'],
    ['trap gate', 3, { type: DESC_TRAP_GATE32 }, null, 'int 40'],
    ['gate open to ring 1 only, from 3', 3, { dpl: 1 }, null, `#GP(${VECTOR_ERROR})`],
    ['gate open to ring 1, from 1', 1, { dpl: 1 }, null, 'int 40'],
    ['gate not present', 3, { present: false }, null, `#NP(${VECTOR_ERROR})`],
    [
      'task gate: no task switches here',
      3,
      { type: DESC_TASK_GATE, selector: TSS_SELECTOR },
      null,
      `#GP(${VECTOR_ERROR})`,
    ],
    ['call gate', 3, { type: DESC_CALL_GATE32 }, null, `#GP(${VECTOR_ERROR})`],
    ['no gate at all', 3, null, null, `#GP(${VECTOR_ERROR})`],
    ['to null', 3, { selector: 0 }, null, '#GP(0)'],
    ['beyond the GDT', 3, { selector: 0x200 }, null, '#GP(200)'],
    ['to data', 3, { selector: DATA_SELECTOR[0] }, null, '#GP(10)'],
    ['to an outer ring', 0, { selector: CODE_SELECTOR[3] }, null, '#GP(38)'],
    ['to ring 1', 3, { selector: CODE_SELECTOR[1] }, null, 'int 40'],
    ['to code not present', 3, { selector: FREE }, { kind: 'code', present: false }, '#NP(60)'],
    ['to conforming code', 3, { selector: FREE }, { kind: 'code', dc: true }, 'int 40'],
    ['beyond the limit', 3, { selector: FREE }, { kind: 'code', limit: 0xfff }, '#GP(0)'],
  ]
  it.each(table)('%s', (_what, ring, gate, target, outcome) => {
    machine.reset(ring)
    if (gate === null) machine.interruptGate(VECTOR, { kind: 'data' })
    else machine.interruptGate(VECTOR, { dpl: 3, ...gate })
    if (target !== null) machine.descriptor(FREE, target)
    expect(machine.attempt(`int ${VECTOR}`)).toBe(outcome)
    // A fault restarts the instruction; the interrupt returns behind it.
    expect(machine.frame().eip).toBe(outcome === 'int 40' ? CODE + 2 : CODE)
  })

  it('raises #GP when the vector is beyond the IDT', () => {
    machine.reset(3)
    machine.cpu.st[S_IDT_LIMIT] = VECTOR * 8 + 6
    expect(machine.attempt(`int ${VECTOR}`)).toBe(`#GP(${VECTOR_ERROR})`)
    machine.reset(3)
    machine.cpu.st[S_IDT_LIMIT] = VECTOR * 8 + 7
    expect(machine.attempt(`int ${VECTOR}`)).toBe('int 40')
  })

  it.each([
    ['int3', 0xcc, 3, 3],
    ['into', 0xce, 4, 4],
  ])('%s needs a gate open to its ring, and reports the vector when it is not', (_name, opcode, vector) => {
    for (const [dpl, outcome] of [[3, vector === 3 ? '#BP' : '#OF'], [0, `#GP(${(vector * 8 + 2).toString(16)})`]] as const) {
      machine.reset(3).interruptGate(vector, { dpl })
      driver.eflags = 0x802
      expect(machine.attempt([opcode])).toBe(outcome)
    }
  }) // prettier-ignore

  it('an exception of the CPU asks no gate for its DPL', () => {
    machine.reset(3)
    expect(machine.attempt('ud2')).toBe('#UD')
    expect(machine.attempt([0xf1])).toBe('#DB')
  })
})

describe('the frame of an interrupt', () => {
  it('within the ring: EFLAGS, CS, EIP', () => {
    machine.reset(0)
    driver.eflags = 0x203
    expect(machine.attempt(`int ${VECTOR}`)).toBe('int 40')
    expect(driver.get('esp')).toBe(STACK_TOPS[0] - 12)
    expect(machine.stack(3)).toEqual([CODE + 2, CODE_SELECTOR[0], 0x203])
  })

  it.each([0, 1, 2] as const)('from ring 3 to ring %d: the stack is the one in the TSS', (ring) => {
    machine.reset(3).interruptGate(VECTOR, { dpl: 3, selector: CODE_SELECTOR[ring] })
    expect(machine.attempt(`int ${VECTOR}`)).toBe('int 40')
    expect(driver.get('esp')).toBe(STACK_TOPS[ring] - 20)
    expect(machine.stack(5)).toEqual([CODE + 2, CODE_SELECTOR[3], 2, STACK_TOPS[3], DATA_SELECTOR[3]])
    expect(machine.cpl).toBe(ring)
    expect(machine.selector(DS)).toBe(DATA_SELECTOR[3]) // data segments stay
  })

  it('of a 16-bit gate is made of words', () => {
    machine.reset(3).interruptGate(VECTOR, { dpl: 3, type: DESC_INT_GATE16 })
    expect(machine.attempt(`int ${VECTOR}`)).toBe('int 40')
    expect(driver.get('esp')).toBe(STACK_TOPS[0] - 10)
    expect(machine.stack(2)).toEqual([
      (CODE_SELECTOR[3] << 16) | ((CODE + 2) & 0xffff),
      ((STACK_TOPS[3] << 16) | 2) >>> 0,
    ])
  })

  it('ends with the error code of those exceptions that have one', () => {
    machine.reset(3)
    driver.set({ eax: 0x200 })
    expect(machine.attempt('mov ds, ax')).toBe('#GP(200)')
    expect(machine.stack(6)).toEqual([
      0x200,
      CODE,
      CODE_SELECTOR[3],
      2 | FLAG_RF, // a fault: going back must not meet an instruction breakpoint again
      STACK_TOPS[3],
      DATA_SELECTOR[3],
    ])
  })

  it('interrupt gates clear IF, both kinds clear TF, NT and RF', () => {
    for (const [type, ifAfter] of [[14, 0], [DESC_TRAP_GATE32, FLAG_IF]] as const) {
      machine.reset(3).interruptGate(VECTOR, { dpl: 3, type })
      driver.eflags = FLAG_NT | FLAG_IF | 2
      machine.attempt(`int ${VECTOR}`)
      expect(driver.eflags & (FLAG_NT | FLAG_IF | FLAG_TF | FLAG_RF)).toBe(ifAfter)
      expect(machine.frame().eflags).toBe(FLAG_NT | FLAG_IF | 2)
    }
  }) // prettier-ignore
})

describe('faults of delivery', () => {
  /** The inner stack is bad, the fault goes to ring 1, whose stack is good. EXT is set for what the program did not ask for. */
  const stacks: [string, () => void, string, string][] = [
    ['null', () => driver.write32(TSS + 8, 0), '#TS(0)', '#TS(1)'],
    ['beyond the table', () => driver.write32(TSS + 8, 0x200), '#TS(200)', '#TS(201)'],
    ['of another ring', () => driver.write32(TSS + 8, DATA_SELECTOR[1]), '#TS(20)', '#TS(21)'],
    ['code', () => driver.write32(TSS + 8, CODE_SELECTOR[0]), '#TS(8)', '#TS(9)'],
    ['not present', () => machine.descriptor(0x70, { kind: 'data', present: false }), '#SS(70)', '#SS(71)'],
    ['too small', () => machine.descriptor(0x70, { kind: 'data', limit: 0x7ff }), '#SS(70)', '#SS(71)'],
  ]
  it.each(stacks)('the inner stack is %s', (_what, change, software, hardware) => {
    const prepare = (): void => {
      machine.reset(3)
      for (const vector of [10, 12]) machine.interruptGate(vector, { selector: CODE_SELECTOR[1] })
      driver.write32(TSS + 8, 0x70)
      change()
    }
    prepare()
    expect(machine.attempt(`int ${VECTOR}`)).toBe(software)
    expect(machine.frame()).toMatchObject({ eip: CODE, esp: STACK_TOPS[3], ss: DATA_SELECTOR[3] })
    prepare()
    driver.eflags = 0x202
    driver.vectors.push(VECTOR)
    machine.cpu.setPending(PENDING_INTR)
    expect(machine.attempt('nop')).toBe(hardware)
  })

  it('the TSS is too short for the inner stack', () => {
    machine.reset(3).descriptor(0x70, { kind: 'system', type: 9, base: TSS, limit: 0x0f })
    machine.enter(0)
    driver.set({ eax: 0x70 })
    machine.attempt('ltr ax')
    machine.enter(3).interruptGate(VECTOR, { dpl: 3, selector: CODE_SELECTOR[1] })
    machine.interruptGate(10, { selector: CODE_SELECTOR[0] })
    expect(machine.attempt(`int ${VECTOR}`)).toBe('#TS(70)')
  })

  /** [first fault, second, outcome]: table 6-5 of the manual; a gate that is not present makes the second. */
  const UD = 'ud2'
  const GP = 'mov ds, ax' // eax is 0x200
  const DE = 'div dl' // edx is 0
  const escalations: [string, string, number, string][] = [
    ['benign, then contributory: the second is delivered', UD, 6, '#NP(33)'],
    ['contributory, then contributory', GP, 13, '#DF(0)'],
    ['#DE, then contributory', DE, 0, '#DF(0)'],
  ]
  it.each(escalations)('%s', (_what, source, vector, outcome) => {
    machine.reset(0).interruptGate(vector, { present: false })
    driver.set({ eax: 0x200, edx: 0 })
    expect(machine.attempt(source)).toBe(outcome)
  })

  it('a third fault shuts the CPU down', () => {
    machine.reset(0).interruptGate(13, { present: false }).interruptGate(8, { present: false })
    driver.set({ eax: 0x200 })
    expect(machine.attempt('mov ds, ax')).toBe('shutdown')
  })

  it('#DF is an abort with error code 0 and the EIP of the first fault', () => {
    machine.reset(3).interruptGate(13, { present: false })
    driver.set({ eax: 0x200 })
    expect(machine.attempt('nop\n mov ds, ax')).toBe('#DF(0)')
    expect(machine.frame()).toMatchObject({ error: 0, eip: CODE + 1, cs: CODE_SELECTOR[3], eflags: 2 })
  })

  it('a software interrupt whose fault faults is a double fault, one that only faults is none', () => {
    machine.reset(3).interruptGate(VECTOR, { dpl: 3, present: false })
    expect(machine.attempt(`int ${VECTOR}`)).toBe(`#NP(${VECTOR_ERROR})`)
    machine.reset(3).interruptGate(VECTOR, { dpl: 3, present: false }).interruptGate(11, { present: false })
    expect(machine.attempt(`int ${VECTOR}`)).toBe('#DF(0)')
  })
})

describe('interrupts from outside', () => {
  const raise = (): void => {
    driver.vectors.push(VECTOR)
    machine.cpu.setPending(PENDING_INTR)
  }
  it('wait until IF is set, and for one instruction after STI', () => {
    machine.reset(0)
    raise()
    driver.set({ ecx: 0 })
    driver.load('inc ecx\n sti\n inc ecx\n inc ecx\n hlt')
    driver.run(3)
    expect(driver.get('ecx')).toBe(2)
    driver.run(1)
    expect(driver.eip).toBe(HANDLERS + VECTOR * 16 + 1)
    expect(driver.get('ecx')).toBe(2)
  })

  it('wait no longer when STI found IF set', () => {
    machine.reset(0)
    driver.eflags = 0x202
    driver.load('sti\n inc ecx\n hlt')
    driver.set({ ecx: 0 })
    driver.run(1)
    raise()
    driver.run(1)
    expect(driver.get('ecx')).toBe(0)
  })

  it('end HLT, with EIP behind it', () => {
    machine.reset(0)
    driver.eflags = 0x202
    driver.load('hlt\n nop')
    driver.run(10)
    expect(machine.cpu.st[S_HALTED]).toBe(1)
    raise()
    driver.run(1)
    expect(driver.eip).toBe(HANDLERS + VECTOR * 16 + 1)
    expect(machine.frame(VECTOR).eip).toBe(CODE + 1)
  })

  it('NMI comes with IF clear, and the next one only after IRET', () => {
    machine.reset(0)
    machine.cpu.setPending(PENDING_NMI)
    driver.load('nop\n nop\n hlt')
    driver.loadBytes([0x90, 0x90, 0xcf], HANDLERS + 2 * 16)
    driver.run(1)
    expect(driver.eip).toBe(HANDLERS + 2 * 16 + 1)
    machine.cpu.setPending(PENDING_NMI)
    driver.run(1)
    expect(driver.eip).toBe(HANDLERS + 2 * 16 + 2)
    expect(machine.cpu.st[S_NMI_BLOCKED]).toBe(1)
    driver.run(2) // IRET, then the second NMI's first instruction
    expect(driver.eip).toBe(HANDLERS + 2 * 16 + 1)
    expect(machine.frame(2).eip).toBe(CODE)
  })

  it('ask no gate for its DPL', () => {
    machine.reset(3).interruptGate(VECTOR, { dpl: 0 })
    driver.eflags = 0x202
    raise()
    expect(machine.attempt('nop')).toBe('int 40')
    expect(machine.frame().eip).toBe(CODE)
  })
})
