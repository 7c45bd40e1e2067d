import { describe, expect, it } from 'vitest'
import { S_HALTED } from '../layout/cpu-state.ts'
import { MIB } from '../layout/memory.ts'
import { LockstepExecutor } from '../machine/lockstep.ts'
import { Machine } from '../machine/machine.ts'
import { VirtualClock } from '../machine/clock.ts'
import { assemble } from '../asm/assembler.ts'
import { flushTlbAll } from '../mmu/tlb.ts'
import { CODE, CpuDriver, DATA, PAGE_DIRECTORY } from '../testing/cpu-driver.ts'
import { CODE_SELECTOR, FREE, ProtectedMode } from '../testing/protected-mode.ts'

const driver = new CpuDriver()

/** Runs `source` from CODE to its HLT and returns EAX. */
function result(source: string, symbols: Record<string, number> = {}): number {
  driver.reset()
  driver.load(source, CODE, symbols)
  driver.runToHalt(10_000)
  return driver.get('eax')
}

describe('code that writes code', () => {
  it('the very next instruction', () => {
    expect(result('mov byte [next + 1], 7\n next: mov eax, 1\n hlt')).toBe(7)
  })

  it('an instruction further on, which has run before', () => {
    const source = 'mov ecx, 3\n mov eax, 0\n again: add eax, 1\n inc byte [again + 2]\n dec ecx\n jnz again\n hlt'
    expect(result(source)).toBe(1 + 2 + 3)
  })

  it('itself, for the next time it runs', () => {
    // The ADD's immediate byte is what it adds to.
    const source =
      'mov ecx, 3\n mov eax, 0\n again: add byte [again + 6], 1\n movzx edx, byte [again + 6]\n add eax, edx\n dec ecx\n jnz again\n hlt'
    expect(result(source)).toBe(2 + 4 + 8)
  })

  it('by a string instruction, over itself', () => {
    // The first STOSB overwrites what comes behind REP STOSB with INC EAX.
    expect(result('mov edi, next\n mov eax, 0x40\n mov ecx, 3\n rep stosb\n next: nop\n nop\n nop\n hlt')).toBe(0x43)
  })

  it('through another linear address of its page', () => {
    driver.reset()
    driver.enablePaging()
    const alias = 0x300000
    driver.write32(PAGE_DIRECTORY + 0x1000 + (alias >>> 12) * 4, CODE | 7)
    driver.load(
      'mov ecx, 2\n mov eax, 0\n again: add eax, 1\n inc byte [again - 0x10000 + 0x300002]\n dec ecx\n jnz again\n hlt',
    )
    driver.runToHalt()
    expect(driver.get('eax')).toBe(1 + 2)
  })

  it('of another CPU', () => {
    const machine = new Machine({ cpus: 2, ramSize: 8 * MIB, clock: new VirtualClock() })
    const write = (source: string, origin: number): void =>
      machine.phys.writeBytes(origin, assemble(source, { origin }).bytes)
    // CPU 0 goes round until CPU 1 has turned its INC EBX into INC EAX.
    write('again: inc ebx\n cmp eax, 5\n jne again\n hlt', CODE)
    write(`mov ecx, 100\n wait: loop wait\n mov byte [${CODE}], 0x40\n hlt`, CODE + 0x1000)
    machine.cpus.forEach((cpu) => cpu.reset(CODE + cpu.id * 0x1000))
    new LockstepExecutor(machine, 10).runSlice(10_000)
    expect(machine.cpus.map((cpu) => cpu.st[S_HALTED])).toEqual([1, 1])
    expect(machine.cpus[0].r[0]).toBe(5)
    expect(machine.cpus[0].r[3]).toBeGreaterThan(10)
  })

  it('from outside, as a device or the Host writes memory', () => {
    expect(result('mov eax, 1\n hlt')).toBe(1)
    driver.mem.phys.write8(CODE + 1, 2)
    driver.eip = CODE
    driver.runToHalt()
    expect(driver.get('eax')).toBe(2)
    driver.mem.phys.writeBytes(CODE + 1, Uint8Array.of(3))
    driver.eip = CODE
    driver.runToHalt()
    expect(driver.get('eax')).toBe(3)
  })
})

describe('an instruction over the end of a page', () => {
  const SECOND = CODE + 0x1000
  const OTHER = CODE + 0x5000
  /** MOV EAX, imm32 with its last three bytes in the second page, then ESI += EAX and `more`, ECX times. */
  function loop(more: string): void {
    driver.reset()
    driver.enablePaging()
    flushTlbAll(driver.cpu)
    const { bytes } = assemble(`again: mov eax, 0x01010101\n add esi, eax\n ${more}\n dec ecx\n jnz again\n hlt`, {
      origin: SECOND - 2,
    })
    driver.mem.phys.writeBytes(SECOND - 2, bytes)
    driver.eip = SECOND - 2
    driver.set({ ecx: 3, esi: 0 })
  }

  it('is decoded anew when its part in the first page has been written', () => {
    loop(`inc byte [${SECOND - 1}]`)
    driver.runToHalt(10_000)
    expect(driver.get('esi')).toBe(3 * 0x01010101 + 1 + 2)
  })

  it('is decoded anew when its part in the second page has been written', () => {
    loop(`inc byte [${SECOND}]`)
    driver.runToHalt(10_000)
    expect(driver.get('esi')).toBe(3 * 0x01010101 + 0x100 + 0x200)
  })

  it('is decoded anew when the second page is another one', () => {
    const pte = PAGE_DIRECTORY + 0x1000 + (SECOND >>> 12) * 4
    loop(`mov dword [${pte}], ${OTHER | 7}\n invlpg [${SECOND}]`)
    const code = driver.mem.phys.readBytes(SECOND, 0x100)
    code[0] = 0x55
    driver.mem.phys.writeBytes(OTHER, code)
    driver.runToHalt(10_000)
    expect(driver.get('esi')).toBe(3 * 0x01010101 + 2 * 0x5400)
  })

  it('is found again by both address spaces that share only its first page', () => {
    const pte = PAGE_DIRECTORY + 0x1000 + (SECOND >>> 12) * 4
    // Each round maps the other second page.
    loop(`xor dword [${pte}], ${OTHER ^ SECOND}\n invlpg [${SECOND}]`)
    const code = driver.mem.phys.readBytes(SECOND, 0x100)
    code[0] = 0x02
    driver.mem.phys.writeBytes(OTHER, code)
    driver.set({ ecx: 6 })
    driver.runToHalt(10_000)
    expect(driver.get('esi')).toBe(6 * 0x01010101 + 3 * 0x100)
  })
})

describe('the same address', () => {
  it('is decoded by the D bit of the segment it is reached through', () => {
    const machine = new ProtectedMode()
    const pointer = DATA
    const target = CODE + 0x100
    machine.descriptor(FREE, { kind: 'code', big: false })
    machine.driver.load(`jmp far [${pointer}]`)
    machine.driver.loadBytes([0xb8, 1, 0, 0x40, 0x90, 0xf4], target) // MOV EAX, imm32 or MOV AX, imm16; INC AX
    machine.driver.write32(pointer, target)
    const jump = (selector: number): number => {
      machine.enter(0)
      machine.driver.eip = CODE
      machine.driver.write32(pointer + 4, selector)
      machine.driver.run(2)
      return machine.driver.eip - target
    }
    expect([jump(CODE_SELECTOR[0]), jump(FREE), jump(CODE_SELECTOR[0])]).toEqual([5, 3, 5])
  })
})
