import { describe, expect, it } from 'vitest'
import { S_EIP } from '../layout/cpu-state.ts'
import { watchPhysical } from '../mmu/tlb.ts'
import { CODE, CpuDriver } from '../testing/cpu-driver.ts'
import { run } from './run.ts'

/** Stops before each instruction at one of `addresses`, once for each time it is reached. */
function stopAt(driver: CpuDriver, addresses: readonly number[]): { asked: number } {
  let passed = -1
  const seen = { asked: 0 }
  driver.cpu.debug = {
    mayStop: (linear, bytes) => addresses.some((at) => at >= linear && at < linear + bytes),
    stopBefore: (cpu, linear) => {
      seen.asked++
      if (!addresses.includes(linear) || cpu.retired === passed) return false
      passed = cpu.retired
      return true
    },
  }
  return seen
}

describe('a debugger outside', () => {
  it('stops before an instruction and goes on with it', () => {
    const driver = new CpuDriver()
    const { here } = driver.load('l: inc eax\n inc ebx\nhere: inc ecx\n jmp l')
    stopAt(driver, [here])
    for (let round = 1; round <= 3; round++) {
      expect(run(driver.cpu, 1000)).toBe(round === 1 ? 2 : 4)
      expect(driver.cpu.st[S_EIP]).toBe(here)
      expect(['eax', 'ebx', 'ecx'].map((name) => driver.get(name as 'eax'))).toEqual([round, round, round - 1])
    }
  })

  it('is not asked about blocks without a breakpoint', () => {
    const driver = new CpuDriver()
    driver.load('l: inc eax\n jmp l')
    const seen = stopAt(driver, [CODE + 0x500])
    // 1001 is not a number of whole blocks: the last one is run with care.
    expect(run(driver.cpu, 1001)).toBe(1001)
    expect(seen.asked).toBe(1)
  })

  it('sees every access to a watched page, by any linear address, and none when it is over', () => {
    const driver = new CpuDriver()
    driver.enablePaging()
    driver.load(`
        mov eax, [0x20000]
        mov [0x20004], eax
        add word [0x20ffe], 1
        mov [0x20fff], ebx
        mov eax, [0x30000]
        mov eax, [0x21000]
        hlt`)
    const seen: [number, number, boolean][] = []
    run(driver.cpu, 1) // fills the TLB
    watchPhysical(driver.mem, new Set([0x20]))
    driver.mem.phys.onWatched = (_cpu, hpa, size, write) => seen.push([hpa, size, write])
    run(driver.cpu, 10)
    expect(seen).toEqual([
      [0x20004, 4, true],
      [0x20ffe, 2, false],
      [0x20ffe, 2, true],
      [0x20fff, 1, true],
    ])
    watchPhysical(driver.mem, new Set())
    driver.cpu.st[S_EIP] = CODE
    driver.cpu.st.fill(0, 0, 0)
    run(driver.cpu, 2)
    expect(seen).toHaveLength(4)
  })

  it('stops right behind the instruction that touched a watched page', () => {
    const driver = new CpuDriver()
    driver.load('mov [0x20000], eax\n inc ebx\n inc ebx\nl: jmp l')
    watchPhysical(driver.mem, new Set([0x20]))
    driver.mem.phys.onWatched = () => driver.cpu.requestStop()
    expect(run(driver.cpu, 10)).toBe(1)
    expect(driver.get('ebx')).toBe(0)
    watchPhysical(driver.mem, new Set())
  })
})
