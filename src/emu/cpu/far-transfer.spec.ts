import { describe, expect, it } from 'vitest'
import { S_SYSENTER_CS, S_SYSENTER_EIP, S_SYSENTER_ESP } from '../layout/cpu-state.ts'
import { CS, DESC_CALL_GATE16, DESC_CALL_GATE32, DESC_TASK_GATE, DS, ES, FLAG_IF, FS, SS } from '../layout/x86.ts'
import {
  CODE,
  CODE_SELECTOR,
  DATA,
  DATA_SELECTOR,
  type DescriptorSpec,
  FREE,
  LANDING,
  ProtectedMode,
  type Ring,
  STACK_TOPS,
  TSS,
  TSS_SELECTOR,
} from '../testing/protected-mode.ts'

const machine = new ProtectedMode()
const { driver } = machine
const GATE = FREE
const TARGET = FREE + 8
const far = (instruction: string, selector: number): string => `${instruction} ${selector}:${LANDING}`
const gateTo = (selector: number, more: Partial<DescriptorSpec> = {}): DescriptorSpec =>
  ({ kind: 'gate', type: DESC_CALL_GATE32, selector, offset: LANDING + 8, dpl: 3, ...more }) as DescriptorSpec
const ARRIVED = `at ${LANDING.toString(16)}`
const THROUGH_GATE = `at ${(LANDING + 8).toString(16)}`

describe('far JMP and CALL to a code segment', () => {
  /** [what, ring, descriptor at TARGET, selector, outcome] */
  const table: [string, Ring, DescriptorSpec | null, number, string][] = [
    ['null', 0, null, 0, '#GP(0)'],
    ['null with an RPL', 3, null, 3, '#GP(0)'],
    ['beyond the GDT', 0, null, 0x200, '#GP(200)'],
    ['same ring', 3, { kind: 'code', dpl: 3 }, TARGET | 3, ARRIVED],
    ['same ring, stronger RPL', 3, { kind: 'code', dpl: 3 }, TARGET, ARRIVED],
    ['same ring, weaker RPL', 0, { kind: 'code' }, TARGET | 3, '#GP(68)'],
    ['inner ring', 3, { kind: 'code', dpl: 0 }, TARGET, '#GP(68)'],
    ['outer ring', 0, { kind: 'code', dpl: 3 }, TARGET, '#GP(68)'],
    ['conforming, inner', 3, { kind: 'code', dpl: 1, dc: true }, TARGET, ARRIVED],
    ['conforming, outer', 0, { kind: 'code', dpl: 1, dc: true }, TARGET, '#GP(68)'],
    ['data', 0, { kind: 'data' }, TARGET, '#GP(68)'],
    ['an LDT', 0, { kind: 'system', type: 2 }, TARGET, '#GP(68)'],
    ['not present', 0, { kind: 'code', present: false }, TARGET, '#NP(68)'],
    ['beyond its limit', 0, { kind: 'code', limit: 0xfff }, TARGET, '#GP(0)'],
    ['a TSS: no task switches here', 0, { kind: 'system', type: 9 }, TARGET, '#GP(68)'],
    ['a task gate: no task switches here', 0, gateTo(TSS_SELECTOR, { type: DESC_TASK_GATE }), TARGET, '#GP(68)'],
  ]
  it.each(table)('%s', (_what, ring, spec, selector, outcome) => {
    for (const instruction of ['jmp', 'call']) {
      machine.reset(ring)
      if (spec !== null) machine.descriptor(TARGET, spec)
      expect(machine.attempt(far(instruction, selector))).toBe(outcome)
      if (outcome === ARRIVED) expect(machine.selector(CS)).toBe((selector & ~3) | ring)
      expect(machine.cpl).toBe(outcome === ARRIVED ? ring : 0)
    }
  })

  it('CALL leaves CS and EIP on the stack, JMP nothing', () => {
    machine.reset(3)
    machine.attempt(far('call', CODE_SELECTOR[3]))
    expect(driver.get('esp')).toBe(STACK_TOPS[3] - 8)
    expect(machine.stack(2)).toEqual([CODE + 7, CODE_SELECTOR[3]])
    machine.reset(3)
    machine.attempt(far('jmp', CODE_SELECTOR[3]))
    expect(driver.get('esp')).toBe(STACK_TOPS[3])
  })

  it('takes offset and selector from memory in that order', () => {
    machine.reset(3)
    driver.write32(DATA, LANDING)
    driver.write32(DATA + 4, CODE_SELECTOR[3])
    driver.set({ ebx: DATA })
    expect(machine.attempt('jmp far [ebx]')).toBe(ARRIVED)
    driver.set({ ebx: DATA })
    expect(machine.attempt('call far [ebx]')).toBe(ARRIVED)
    expect(machine.attempt([0xff, 0xeb])).toBe('#UD') // a register operand
  })

  it('changes nothing when the return address cannot be pushed', () => {
    machine.reset(3).descriptor(DATA_SELECTOR[3], { kind: 'data', dpl: 3, limit: 0xffff })
    machine.enter(3)
    driver.set({ esp: 6 })
    expect(machine.attempt(far('call', CODE_SELECTOR[3]))).toBe('#SS(0)')
    expect(machine.frame()).toMatchObject({ eip: CODE, esp: 6, cs: CODE_SELECTOR[3] })
  })
})

describe('call gates', () => {
  /** [what, ring, gate, selector, target descriptor, outcome of CALL, outcome of JMP] */
  const inner = { kind: 'code', dpl: 0 } as const
  const table: [string, Ring, DescriptorSpec, number, DescriptorSpec, string, string][] = [
    ['same ring', 3, gateTo(TARGET), GATE | 3, { kind: 'code', dpl: 3 }, THROUGH_GATE, THROUGH_GATE],
    ['inner ring', 3, gateTo(TARGET), GATE | 3, inner, THROUGH_GATE, '#GP(68)'],
    ['inner ring, ring 1 to 0', 1, gateTo(TARGET, { dpl: 1 }), GATE, inner, THROUGH_GATE, '#GP(68)'],
    ['conforming inner code', 3, gateTo(TARGET), GATE, { ...inner, dc: true }, THROUGH_GATE, THROUGH_GATE],
    ['gate of an inner ring', 3, gateTo(TARGET, { dpl: 2 }), GATE, inner, '#GP(60)', '#GP(60)'],
    ['RPL weaker than the gate', 0, gateTo(TARGET, { dpl: 1 }), GATE | 2, inner, '#GP(60)', '#GP(60)'],
    ['gate not present', 3, gateTo(TARGET, { present: false }), GATE, inner, '#NP(60)', '#NP(60)'],
    ['to null', 3, gateTo(0), GATE, inner, '#GP(0)', '#GP(0)'],
    ['to null with an RPL', 3, gateTo(3), GATE, inner, '#GP(0)', '#GP(0)'],
    ['beyond the table', 3, gateTo(0x200), GATE, inner, '#GP(200)', '#GP(200)'],
    ['to data', 3, gateTo(TARGET), GATE, { kind: 'data' }, '#GP(68)', '#GP(68)'],
    ['to an outer ring', 0, gateTo(TARGET), GATE, { kind: 'code', dpl: 1 }, '#GP(68)', '#GP(68)'],
    ['to code not present', 3, gateTo(TARGET), GATE, { ...inner, present: false }, '#NP(68)', '#GP(68)'],
    ['beyond the limit', 3, gateTo(TARGET), GATE, { ...inner, limit: 0xfff }, '#GP(0)', '#GP(68)'],
  ]
  it.each(table)('%s', (_what, ring, gate, selector, target, call, jump) => {
    for (const [instruction, outcome] of [['call', call], ['jmp', jump]] as const) {
      machine.reset(ring).descriptor(GATE, gate).descriptor(TARGET, target)
      // The offset in the instruction means nothing.
      expect(machine.attempt(`${instruction} ${selector}:0x12345678`)).toBe(outcome)
    }
  }) // prettier-ignore

  it('copies parameters to the inner stack in their order, and RETF n takes them off both', () => {
    machine.reset(3).descriptor(GATE, gateTo(CODE_SELECTOR[1], { count: 3 }))
    machine.push(0x333, 0x222, 0x111)
    expect(machine.attempt(`call ${GATE}:0`)).toBe(THROUGH_GATE)
    expect(machine.place).toBe('19:d008 21:9fe4')
    const outerEsp = STACK_TOPS[3] - 12
    expect(machine.stack(7)).toEqual([CODE + 7, CODE_SELECTOR[3], 0x111, 0x222, 0x333, outerEsp, DATA_SELECTOR[3]])
    // RETF at LANDING goes back behind the CALL.
    driver.loadBytes([0xca, 12, 0], LANDING + 8)
    driver.run(1)
    expect(machine.place).toBe(`3b:${(CODE + 7).toString(16)} 43:${STACK_TOPS[3].toString(16)}`)
  })

  it('copies 31 parameters', () => {
    machine.reset(3).descriptor(GATE, gateTo(CODE_SELECTOR[0], { count: 31 }))
    const parameters = Array.from({ length: 31 }, (_, i) => 0x100 + i)
    machine.push(...parameters.toReversed())
    expect(machine.attempt(`call ${GATE}:0`)).toBe(THROUGH_GATE)
    expect(machine.stack(33).slice(2)).toEqual(parameters)
  })

  it('of 16 bits pushes words and cuts the offset', () => {
    machine
      .reset(3)
      .descriptor(GATE, gateTo(CODE_SELECTOR[0], { type: DESC_CALL_GATE16, count: 1, offset: 0x5000d008 }))
    machine.push(0xbbbbaaaa)
    expect(machine.attempt(`call ${GATE}:0`)).toBe(THROUGH_GATE)
    expect(driver.get('esp')).toBe(STACK_TOPS[0] - 10)
    expect(machine.stack(2)).toEqual([(CODE_SELECTOR[3] << 16) | ((CODE + 7) & 0xffff), 0xbffcaaaa])
  })

  it('need no inner stack within the ring', () => {
    machine.reset(1).descriptor(GATE, gateTo(CODE_SELECTOR[1], { dpl: 1, count: 5 }))
    expect(machine.attempt(`call ${GATE}:0`)).toBe(THROUGH_GATE)
    expect(driver.get('esp')).toBe(STACK_TOPS[1] - 8)
  })

  /** [what, change, outcome]: faults of the inner stack of ring 0. */
  const stacks: [string, () => void, string][] = [
    ['a null selector', () => driver.write32(TSS + 8, 0), '#TS(0)'],
    ['a selector beyond the table', () => driver.write32(TSS + 8, 0x200), '#TS(200)'],
    ['a wrong RPL', () => driver.write32(TSS + 8, DATA_SELECTOR[0] | 1), '#TS(10)'],
    ['a wrong DPL', () => driver.write32(TSS + 8, DATA_SELECTOR[1] & ~3), '#TS(20)'],
    ['code', () => driver.write32(TSS + 8, CODE_SELECTOR[0]), '#TS(8)'],
    ['read-only data', () => machine.descriptor(0x70, { kind: 'data', rw: false }), '#TS(70)'],
    ['data that is not present', () => machine.descriptor(0x70, { kind: 'data', present: false }), '#SS(70)'],
    ['no room', () => machine.descriptor(0x70, { kind: 'data', limit: 0x7ff }), '#SS(70)'],
  ]
  it.each(stacks)('fault when the inner stack is %s', (_what, change, outcome) => {
    // The fault itself is delivered to ring 1, whose stack is good.
    machine.reset(3).descriptor(GATE, gateTo(CODE_SELECTOR[0]))
    for (const vector of [10, 12]) machine.interruptGate(vector, { selector: CODE_SELECTOR[1] })
    driver.write32(TSS + 8, 0x70)
    change()
    expect(machine.attempt(`call ${GATE}:0`)).toBe(outcome)
    expect(machine.frame()).toMatchObject({ eip: CODE, cs: CODE_SELECTOR[3], esp: STACK_TOPS[3], ss: DATA_SELECTOR[3] })
  })
})

describe('RETF', () => {
  /** [what, ring, CS on the stack, SS on the stack, outcome] */
  const table: [string, Ring, number, number, string][] = [
    ['same ring', 1, CODE_SELECTOR[1], 0, ARRIVED],
    ['outer ring', 1, CODE_SELECTOR[3], DATA_SELECTOR[3], ARRIVED],
    ['inner ring', 3, CODE_SELECTOR[0], DATA_SELECTOR[0], '#GP(8)'],
    ['null CS', 0, 0, 0, '#GP(0)'],
    ['CS beyond the table', 0, 0x203, DATA_SELECTOR[3], '#GP(200)'],
    ['RPL unlike the DPL', 0, CODE_SELECTOR[1] | 3, DATA_SELECTOR[3], '#GP(18)'],
    ['data as CS', 0, DATA_SELECTOR[3], DATA_SELECTOR[3], '#GP(40)'],
    ['null SS for the outer ring', 0, CODE_SELECTOR[3], 0, '#GP(0)'],
    ['SS of another ring', 0, CODE_SELECTOR[3], DATA_SELECTOR[2], '#GP(30)'],
    ['SS with another RPL', 0, CODE_SELECTOR[3], DATA_SELECTOR[3] & ~3, '#GP(40)'],
    ['code as SS', 0, CODE_SELECTOR[3], CODE_SELECTOR[3], '#GP(38)'],
  ]
  it.each(table)('%s', (_what, ring, cs, ss, outcome) => {
    machine.reset(ring)
    machine.push(ss, 0x5000, cs, LANDING)
    const esp = driver.get('esp')
    expect(machine.attempt('retf')).toBe(outcome)
    if (outcome !== ARRIVED) expect(machine.frame()).toMatchObject({ eip: CODE, cs: CODE_SELECTOR[ring] })
    else if ((cs & 3) === ring) expect(driver.get('esp')).toBe(esp + 8)
    else expect(machine.place).toBe(`${cs.toString(16)}:${LANDING.toString(16)} ${ss.toString(16)}:5000`)
  })

  it('to an outer ring empties the segments it may not have, and keeps the others', () => {
    machine.reset(0).descriptor(TARGET, { kind: 'code', dc: true })
    driver.set({ eax: DATA_SELECTOR[3], ecx: TARGET, edx: DATA_SELECTOR[0] })
    machine.push(DATA_SELECTOR[3], 0x5000, CODE_SELECTOR[3], LANDING)
    expect(machine.attempt('mov ds, ax\n mov es, cx\n mov fs, dx\n retf')).toBe(ARRIVED)
    expect([DS, ES, FS].map((seg) => machine.selector(seg))).toEqual([DATA_SELECTOR[3], TARGET, 0])
  })

  it('reads the selector first and only its word, which can be the last of the stack segment', () => {
    machine.reset(3).descriptor(DATA_SELECTOR[3], { kind: 'data', dpl: 3, limit: 0xbfff })
    machine.enter(3)
    driver.write32(0xbffa, LANDING)
    driver.write32(0xbffe, CODE_SELECTOR[3])
    driver.set({ esp: 0xbffa })
    expect(machine.attempt('retf')).toBe(ARRIVED)
  })
})

describe('SYSENTER and SYSEXIT', () => {
  const setUp = (cs: number): void => {
    machine.cpu.st[S_SYSENTER_CS] = cs
    machine.cpu.st[S_SYSENTER_ESP] = 0x8800
    machine.cpu.st[S_SYSENTER_EIP] = LANDING
  }
  it('go to ring 0 with interrupts off, and back to ring 3', () => {
    machine.reset(3)
    setUp(0x60)
    driver.eflags = 0x202
    expect(machine.attempt('sysenter')).toBe(ARRIVED)
    expect(machine.place).toBe('60:d000 68:8800')
    expect([machine.cpl, driver.eflags & FLAG_IF]).toEqual([0, 0])
    driver.set({ ecx: 0x5000, edx: LANDING + 8 })
    expect(machine.attempt('sysexit')).toBe(THROUGH_GATE)
    expect(machine.place).toBe('73:d008 7b:5000')
    expect(machine.cpl).toBe(3)
  })

  it('load flat segments whatever the GDT has', () => {
    machine.reset(3).descriptor(0x60, { kind: 'data', present: false })
    setUp(0x60)
    expect(machine.attempt('sysenter')).toBe(ARRIVED)
    const { segBase, segLimit } = machine.cpu
    expect([segBase[CS], segLimit[CS], segBase[SS], segLimit[SS]]).toEqual([0, -1, 0, -1])
  })

  it('raise #GP(0) without SYSENTER_CS, and SYSEXIT outside ring 0', () => {
    for (const cs of [0, 3]) {
      machine.reset(3)
      setUp(cs)
      expect(machine.attempt('sysenter')).toBe('#GP(0)')
      machine.reset(0)
      setUp(cs)
      expect(machine.attempt('sysexit')).toBe('#GP(0)')
    }
    machine.reset(1)
    setUp(0x60)
    expect(machine.attempt('sysexit')).toBe('#GP(0)')
  })
})
