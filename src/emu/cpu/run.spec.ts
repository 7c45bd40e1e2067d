/** The run loop within a block: EIP, which is not kept there, must be right wherever somebody looks. */
import { describe, expect, it } from 'vitest'
import { CODE, CpuDriver } from '../testing/cpu-driver.ts'
import { run } from './run.ts'

describe('in the middle of a block', () => {
  it('a budget that ends there leaves EIP at the next instruction', () => {
    const source = `
        mov eax, 1
        add eax, 2
        fld1
        push eax
        xor ebx, 0x12345678
        pop ecx
        jmp next
        nop
      next: inc ecx
        hlt`
    const whole = new CpuDriver()
    whole.load(source)
    const all = run(whole.cpu, 100)
    for (let first = 1; first < all; first++) {
      const split = new CpuDriver()
      split.load(source)
      const eips: number[] = []
      expect(run(split.cpu, first)).toBe(first)
      eips.push(split.eip)
      const one = new CpuDriver()
      one.load(source)
      for (let i = 0; i < first; i++) run(one.cpu, 1)
      expect(one.eip).toBe(eips[0])
      expect(run(split.cpu, 100)).toBe(all - first)
      expect([...split.cpu.r, split.eip]).toEqual([...whole.cpu.r, whole.eip])
    }
  })

  it('a fault leaves EIP at the instruction and undoes nothing before it', () => {
    const driver = new CpuDriver()
    driver.enablePaging()
    const { bad } = driver.load('inc ebx\n mov ecx, 7\nbad: mov eax, [0xf0000000]\n inc ebx\n hlt')
    run(driver.cpu, 100)
    // There is no IDT: the fault ends as a triple fault, at the instruction.
    expect(driver.shutDown).toBe(true)
    expect([driver.eip, driver.get('ebx'), driver.get('ecx')]).toEqual([bad, 1, 7])
  })

  it('an instruction that changes one behind it in the block runs the new one', () => {
    const driver = new CpuDriver()
    const { target } = driver.load('nop\n mov byte [target], 0x43\n nop\ntarget: inc ecx\n hlt')
    expect(target).toBe(CODE + 9)
    // Decoded with INC ECX (41) first; the loop then meets INC EBX (43).
    run(driver.cpu, 100)
    expect([driver.get('ecx'), driver.get('ebx')]).toEqual([0, 1])
  })

  it('the x87 notes the address of its instruction', () => {
    const driver = new CpuDriver()
    const { here } = driver.load('inc eax\n inc eax\nhere: fld1\n inc eax\n fnstenv [0x20000]\n hlt')
    run(driver.cpu, 100)
    expect(driver.mem.phys.read32(0x2000c) >>> 0).toBe(here)
  })
})
