import { describe, expect, it } from 'vitest'
import { DS, ES, FLAG_IF, FLAG_IOPL, FLAG_NT, FLAG_VM, FS } from '../layout/x86.ts'
import {
  CODE,
  CODE_SELECTOR,
  DATA_SELECTOR,
  type DescriptorSpec,
  FREE,
  LANDING,
  ProtectedMode,
  type Ring,
} from '../testing/protected-mode.ts'

const machine = new ProtectedMode()
const { driver } = machine
const ARRIVED = `at ${LANDING.toString(16)}`
const IOPL3 = FLAG_IOPL

describe('IRET', () => {
  /** [what, ring, descriptor at FREE, CS, SS (0: not needed), outcome] */
  const table: [string, Ring, DescriptorSpec | null, number, number, string][] = [
    ['same ring', 0, null, CODE_SELECTOR[0], 0, ARRIVED],
    ['same ring, outside ring 0', 3, null, CODE_SELECTOR[3], 0, ARRIVED],
    ['outer ring 1', 0, null, CODE_SELECTOR[1], DATA_SELECTOR[1], ARRIVED],
    ['outer ring 3', 0, null, CODE_SELECTOR[3], DATA_SELECTOR[3], ARRIVED],
    ['ring 1 to 3', 1, null, CODE_SELECTOR[3], DATA_SELECTOR[3], ARRIVED],
    ['inner ring', 3, null, CODE_SELECTOR[0], DATA_SELECTOR[0], '#GP(8)'],
    ['null CS', 0, null, 0, 0, '#GP(0)'],
    ['null CS with an RPL', 0, null, 3, DATA_SELECTOR[3], '#GP(0)'],
    ['CS beyond the table', 0, null, 0x203, DATA_SELECTOR[3], '#GP(200)'],
    ['data as CS', 0, null, DATA_SELECTOR[0], 0, '#GP(10)'],
    ['RPL unlike the DPL', 0, null, CODE_SELECTOR[2] | 3, DATA_SELECTOR[3], '#GP(28)'],
    ['conforming CS of an inner ring', 0, { kind: 'code', dc: true }, FREE | 3, DATA_SELECTOR[3], ARRIVED],
    ['conforming CS of an outer ring', 0, { kind: 'code', dc: true, dpl: 3 }, FREE, 0, '#GP(60)'],
    ['CS not present', 0, { kind: 'code', present: false }, FREE, 0, '#NP(60)'],
    ['beyond the limit', 0, { kind: 'code', limit: 0xfff }, FREE, 0, '#GP(0)'],
    ['null SS', 0, null, CODE_SELECTOR[3], 0, '#GP(0)'],
    ['SS beyond the table', 0, null, CODE_SELECTOR[3], 0x203, '#GP(200)'],
    ['SS of another ring', 0, null, CODE_SELECTOR[3], DATA_SELECTOR[1], '#GP(20)'],
    ['SS with another RPL', 0, null, CODE_SELECTOR[3], DATA_SELECTOR[3] & ~3, '#GP(40)'],
    ['code as SS', 0, null, CODE_SELECTOR[3], CODE_SELECTOR[3], '#GP(38)'],
    ['read-only SS', 0, { kind: 'data', rw: false, dpl: 3 }, CODE_SELECTOR[3], FREE | 3, '#GP(60)'],
    ['SS not present', 0, { kind: 'data', present: false, dpl: 3 }, CODE_SELECTOR[3], FREE | 3, '#SS(60)'],
  ]
  it.each(table)('%s', (_what, ring, spec, cs, ss, outcome) => {
    machine.reset(ring)
    if (spec !== null) machine.descriptor(FREE, spec)
    machine.push(ss, 0x5000, 0x3, cs, LANDING)
    const esp = driver.get('esp')
    expect(machine.attempt('iretd')).toBe(outcome)
    if (outcome !== ARRIVED) {
      // Nothing has changed: the frame is still where it was, the ring is the old one.
      expect(machine.frame()).toMatchObject({ eip: CODE, cs: CODE_SELECTOR[ring] })
      if (ring !== 0) expect(machine.frame().esp).toBe(esp)
      return
    }
    expect(machine.cpl).toBe(cs & 3)
    expect(driver.eflags).toBe(3)
    if ((cs & 3) === ring) expect(driver.get('esp')).toBe(esp + 12)
    else expect(machine.place).toBe(`${cs.toString(16)}:${LANDING.toString(16)} ${ss.toString(16)}:5000`)
  })

  it('of 16 bits takes words, and leaves the upper half of EFLAGS', () => {
    machine.reset(0)
    driver.eflags = 0x200002 // ID
    machine.push((0x7 << 16) | CODE_SELECTOR[0])
    driver.set({ esp: driver.get('esp') - 2 })
    driver.mem.phys.writeBytes(driver.get('esp'), Uint8Array.of(LANDING & 0xff, LANDING >> 8))
    expect(machine.attempt([0x66, 0xcf])).toBe(ARRIVED)
    expect(driver.eflags).toBe(0x200007)
  })

  it('to an outer ring empties the data segments of inner rings', () => {
    machine.reset(0)
    driver.set({ eax: DATA_SELECTOR[3], ecx: DATA_SELECTOR[0], edx: DATA_SELECTOR[1] })
    machine.push(DATA_SELECTOR[1], 0x5000, 2, CODE_SELECTOR[1], LANDING)
    expect(machine.attempt('mov ds, ax\n mov es, cx\n mov fs, dx\n iretd')).toBe(ARRIVED)
    expect([DS, ES, FS].map((seg) => machine.selector(seg))).toEqual([DATA_SELECTOR[3], 0, DATA_SELECTOR[1]])
  })

  it('does not return from a nested task, nor to virtual-8086 mode: both are refused', () => {
    machine.reset(0)
    driver.eflags = FLAG_NT | 2
    machine.push(2, CODE_SELECTOR[0], LANDING)
    expect(machine.attempt('iretd')).toBe('#GP(0)')
    machine.reset(0)
    machine.push(FLAG_VM | 2, CODE_SELECTOR[0], LANDING)
    expect(machine.attempt('iretd')).toBe('#GP(0)')
    // Outside ring 0 VM is just a bit that does not change.
    machine.reset(3)
    machine.push(FLAG_VM | 2, CODE_SELECTOR[3], LANDING)
    expect(machine.attempt('iretd')).toBe(ARRIVED)
    expect(driver.eflags & FLAG_VM).toBe(0)
  })
})

describe('what IRET and POPF may change in EFLAGS', () => {
  /** [ring, IOPL before, IF before, image's IOPL and IF, IOPL and IF after] */
  const table: [Ring, number, number, number, number][] = [
    [0, 0, 0, IOPL3 | FLAG_IF, IOPL3 | FLAG_IF],
    [0, IOPL3, FLAG_IF, 0, 0],
    [1, 0, 0, IOPL3 | FLAG_IF, 0],
    [1, 0, FLAG_IF, 0, FLAG_IF],
    [1, 0x1000, FLAG_IF, IOPL3, 0x1000],
    [3, 0x2000, 0, IOPL3 | FLAG_IF, 0x2000],
    [3, IOPL3, 0, FLAG_IF, IOPL3 | FLAG_IF],
  ]
  it.each(table)('ring %d, IOPL %x, IF %x, image %x: %x', (ring, iopl, interrupts, image, after) => {
    machine.reset(ring)
    driver.eflags = 2 | iopl | interrupts
    machine.push(image | 2)
    expect(machine.attempt('popfd')).toBe('ok')
    expect(driver.eflags).toBe(2 | after)
    machine.reset(ring)
    driver.eflags = 2 | iopl | interrupts
    machine.push(image | 2, CODE_SELECTOR[ring], LANDING)
    expect(machine.attempt('iretd')).toBe(ARRIVED)
    expect(driver.eflags).toBe(2 | after)
  })

  it('CLI and STI need CPL <= IOPL', () => {
    for (const [ring, iopl, outcome] of [[0, 0, 'ok'], [1, 0, '#GP(0)'], [1, 0x1000, 'ok'], [3, 0x2000, '#GP(0)'], [3, IOPL3, 'ok']] as const) {
      for (const source of ['cli', 'sti']) {
        machine.reset(ring)
        driver.eflags = 2 | iopl
        expect(machine.attempt(source), `${source} in ring ${ring}, IOPL ${iopl.toString(16)}`).toBe(outcome)
      }
    }
  }) // prettier-ignore

  it('PUSHF shows neither RF nor VM', () => {
    machine.reset(0)
    driver.eflags = 0x10002
    expect(machine.attempt('pushfd')).toBe('ok')
    expect(machine.stack(1)).toEqual([2])
  })
})
