/** What silicon cannot show to a program: #NM, #MF, faults in the middle, FXSAVE; and sums a person can check. */
import { beforeEach, describe, expect, it } from 'vitest'
import { S_CR0, S_FPU_STATUS, S_FPU_TAG } from '../../layout/cpu-state.ts'
import { CR0_EM, CR0_MP, CR0_NE, CR0_TS } from '../../layout/x86.ts'
import { CpuDriver } from '../../testing/cpu-driver.ts'
import { run } from '../run.ts'
import { fpuHandler } from './index.ts'

const DATA = 0x30000
const IDT_AT = 0x40000
const STUBS = 0x48000

let driver: CpuDriver

/** A CPU whose exceptions end in ebp = vector, then hlt. */
beforeEach(() => {
  driver = new CpuDriver()
  const { cpu, mem } = driver
  const { phys } = mem
  for (let vector = 0; vector < 32; vector++) {
    const at = STUBS + vector * 16
    phys.writeBytes(at, Uint8Array.of(0xbd, vector, 0, 0, 0, 0xf4))
    phys.write32(IDT_AT + vector * 8, (8 << 16) | (at & 0xffff))
    phys.write32(IDT_AT + vector * 8 + 4, (at & 0xffff0000) | 0x8e00)
  }
  phys.write32(0x3f000 + 8, 0x0000ffff)
  phys.write32(0x3f000 + 12, 0x00cf9b00)
  const st = cpu.fields
  st.gdt_base = 0x3f000
  st.gdt_limit = 15
  st.idt_base = IDT_AT
  st.idt_limit = 255
  st.cr0 |= CR0_NE
  cpu.r[5] = 0
})

/** Bytes after FNINIT; runs to HLT. */
function execute(...bytes: number[]): void {
  driver.loadBytes([0xdb, 0xe3, ...bytes, 0xf4])
  driver.eip = 0x10000
  run(driver.cpu, 100)
}
const at = (opcode: number, reg: number, address: number): number[] => [
  opcode,
  (reg << 3) | 5,
  address & 0xff,
  (address >> 8) & 0xff,
  (address >> 16) & 0xff,
  address >>> 24,
]
const vector = (): number => driver.get('ebp')

function double(address: number): number {
  return new DataView(driver.mem.phys.readBytes(address, 8).buffer).getFloat64(0, true)
}
function setDouble(address: number, value: number): void {
  const bytes = new DataView(new ArrayBuffer(8))
  bytes.setFloat64(0, value, true)
  driver.mem.phys.writeBytes(address, new Uint8Array(bytes.buffer))
}

describe('x87 arithmetic', () => {
  it.each([
    ['sqrt(2)', [...at(0xdd, 0, DATA), 0xd9, 0xfa], 2, Math.SQRT2],
    ['1 / 3', [0xd9, 0xe8, ...at(0xdc, 6, DATA)], 3, 1 / 3],
    ['sin 1', [...at(0xdd, 0, DATA), 0xd9, 0xfe], 1, Math.sin(1)],
    ['cos 3', [...at(0xdd, 0, DATA), 0xd9, 0xff], 3, Math.cos(3)],
    ['atan 5', [...at(0xdd, 0, DATA), 0xd9, 0xe8, 0xd9, 0xf3], 5, Math.atan(5)],
    ['ln 10', [0xd9, 0xed, ...at(0xdd, 0, DATA), 0xd9, 0xf1], 10, Math.LN10],
    ['pi', [0xd9, 0xeb], 0, Math.PI],
  ])('%s', (_name, code, operand, result) => {
    setDouble(DATA, operand)
    execute(...code, ...at(0xdd, 3, DATA + 8))
    expect(Math.abs(double(DATA + 8) - result)).toBeLessThanOrEqual(Math.abs(result) * Number.EPSILON)
  })

  it('has no FISTTP', () => {
    expect(fpuHandler(0xdb, 0x08)).toBeUndefined()
    expect(fpuHandler(0xdf, 0x08)).toBeUndefined()
    execute(...at(0xdb, 1, DATA))
    expect(vector()).toBe(6)
  })
})

describe('x87 and the system', () => {
  it.each([CR0_TS, CR0_EM])('raises #NM while CR0 has 0x%x', (bit) => {
    driver.loadBytes([0xd9, 0xe8, 0xf4])
    driver.cpu.st[S_CR0] |= bit
    run(driver.cpu, 10)
    expect(vector()).toBe(7)
    expect(driver.cpu.st[S_FPU_TAG]).toBe(0xffff)
  })

  it('waits: #NM only with MP and TS, #MF when an exception is pending', () => {
    for (const [bits, expected] of [
      [CR0_TS, 0],
      [CR0_MP, 0],
      [CR0_TS | CR0_MP, 7],
    ]) {
      driver.reset()
      driver.cpu.r[5] = 0
      driver.cpu.fields.idt_base = IDT_AT
      driver.cpu.fields.idt_limit = 255
      driver.cpu.fields.gdt_base = 0x3f000
      driver.cpu.fields.gdt_limit = 15
      driver.loadBytes([0x9b, 0xf4])
      driver.cpu.st[S_CR0] |= bits
      run(driver.cpu, 10)
      expect(vector()).toBe(expected)
    }
  })

  it('tells an unmasked exception with the next instruction that waits, not with one that does not', () => {
    driver.mem.phys.write32(DATA, 0x37b) // zero divide unmasked
    // fldcw; fldz; fld1; fdiv st, st1; fnstsw ax; fadd
    execute(...at(0xd9, 5, DATA), 0xd9, 0xee, 0xd9, 0xe8, 0xd8, 0xf1, 0xdf, 0xe0, 0xd8, 0xc1)
    expect(vector()).toBe(16)
    expect(driver.get('eax') & 0x8084).toBe(0x8084)
  })

  it('changes nothing when the operand is not there', () => {
    driver.enablePaging()
    driver.mem.phys.write32(0x200000 + 0x1000 + 0x35 * 4, 0)
    const before = [driver.cpu.st[S_FPU_STATUS], driver.cpu.st[S_FPU_TAG]]
    driver.loadBytes([...at(0xdd, 0, 0xfffffff0), 0xf4])
    run(driver.cpu, 5)
    expect(vector()).toBe(14)
    expect([driver.cpu.st[S_FPU_STATUS], driver.cpu.st[S_FPU_TAG]]).toEqual(before)
  })

  it('saves and restores everything with FXSAVE and FXRSTOR', () => {
    // fld1; fldpi; fxsave; fninit; fxrstor; fstp m64; fstp m64
    execute(
      0xd9, 0xe8, 0xd9, 0xeb,
      0x0f, ...at(0xae, 0, DATA), 0xdb, 0xe3, 0x0f, ...at(0xae, 1, DATA),
      ...at(0xdd, 3, DATA + 0x400), ...at(0xdd, 3, DATA + 0x408),
    ) // prettier-ignore
    expect(vector()).toBe(0)
    expect([double(DATA + 0x400), double(DATA + 0x408)]).toEqual([Math.PI, 1])
    expect(driver.mem.phys.read8(DATA + 4)).toBe(0b11000000)
    expect(driver.mem.phys.read32(DATA)).toBe(0x3000037f)
  })

  it('wants FXSAVE operands on 16 bytes', () => {
    execute(0x0f, ...at(0xae, 0, DATA + 8))
    expect(vector()).toBe(13)
  })

  it('has FXSAVE and FXRSTOR for memory only: a register is #UD', () => {
    for (const modrm of [0xc1, 0xc9]) {
      execute(0x0f, 0xae, modrm)
      expect(vector()).toBe(6)
    }
  })

  it('stores environments of 14 and 28 bytes', () => {
    execute(0xd9, 0xe8, 0x66, ...at(0xd9, 6, DATA), ...at(0xd9, 6, DATA + 32))
    const { phys } = driver.mem
    expect([phys.read16(DATA), phys.read16(DATA + 2), phys.read16(DATA + 4)]).toEqual([0x37f, 0x3800, 0x3fff])
    expect([phys.read32(DATA + 32), phys.read32(DATA + 36)]).toEqual([0xffff037f | 0, 0xffff3800 | 0])
  })
})
