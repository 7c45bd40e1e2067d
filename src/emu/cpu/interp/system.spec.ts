import { describe, expect, it } from 'vitest'
import { S_CR0, S_CR4, S_GDT_BASE, S_GDT_LIMIT, S_HALTED, S_IDT_BASE, S_IDT_LIMIT } from '../../layout/cpu-state.ts'
import { CR0_TS, CR4_TSD } from '../../layout/x86.ts'
import { CODE, DATA, DATA_SELECTOR, FREE, ProtectedMode, TSS_SELECTOR } from '../../testing/protected-mode.ts'

const machine = new ProtectedMode()
const { driver, cpu } = machine
const CR0_START = 0x60000031

describe('instructions of ring 0', () => {
  const privileged = [
    'lgdt [ebx]',
    'lidt [ebx]',
    'lldt cx',
    'ltr cx',
    'lmsw cx',
    'clts',
    'invlpg [ebx]',
    'invd',
    'wbinvd',
    'hlt',
    'rdmsr',
    'wrmsr',
    'mov eax, cr0',
    'mov cr3, eax',
    'mov eax, dr7',
    'mov dr7, eax',
    'sysexit',
  ]
  it.each(privileged)('%s raises #GP(0) in rings 1 to 3', (source) => {
    for (const ring of [1, 2, 3] as const) {
      machine.reset(ring)
      driver.set({ ebx: DATA, ecx: 0x174 })
      expect(machine.attempt(source)).toBe('#GP(0)')
      expect(machine.frame().eip).toBe(CODE)
    }
  })

  it('are allowed there', () => {
    machine.reset(0)
    driver.set({ ebx: DATA })
    expect(machine.attempt('clts\n invlpg [ebx]\n invd\n wbinvd\n mov eax, cr0\n mov eax, dr7')).toBe('ok')
  })

  it('#UD comes before #GP: control registers that do not exist, register operands', () => {
    machine.reset(3)
    for (const n of [1, 5, 6, 7]) {
      expect(machine.attempt([0x0f, 0x20, 0xc0 | (n << 3)])).toBe('#UD')
      machine.enter(3)
    }
    for (const digit of [2, 3, 7]) {
      expect(machine.attempt([0x0f, 0x01, 0xc0 | (digit << 3)])).toBe('#UD')
      machine.enter(3)
    }
  })
})

describe('what every ring may look at', () => {
  it('SGDT, SIDT, SLDT, STR, SMSW', () => {
    machine.reset(3)
    driver.set({ ebx: DATA })
    expect(machine.attempt('sgdt [ebx]\n sidt [ebx + 8]\n sldt ecx\n str edx\n smsw eax')).toBe('ok')
    const { phys } = driver.mem
    expect([phys.read16(DATA), phys.read32(DATA + 2)]).toEqual([cpu.st[S_GDT_LIMIT], cpu.st[S_GDT_BASE]])
    expect([phys.read16(DATA + 8), phys.read32(DATA + 10)]).toEqual([cpu.st[S_IDT_LIMIT], cpu.st[S_IDT_BASE]])
    expect([driver.get('ecx'), driver.get('edx'), driver.get('eax')]).toEqual([0x50, TSS_SELECTOR, CR0_START])
  })

  it('SLDT and SMSW store words to memory whatever the operand size', () => {
    machine.reset(3)
    driver.set({ ebx: DATA })
    driver.write32(DATA, 0xffffffff)
    driver.write32(DATA + 4, 0xffffffff)
    expect(machine.attempt('sldt [ebx]\n smsw [ebx + 4]')).toBe('ok')
    expect([driver.read32(DATA), driver.read32(DATA + 4)]).toEqual([0xffff0050, 0xffff0031])
  })
})

describe('LGDT and LIDT', () => {
  it('load 32 bits of base, 24 with a 16-bit operand', () => {
    for (const [prefix, base] of [[[], 0x12345678], [[0x66], 0x345678]] as const) {
      machine.reset(0)
      driver.set({ ebx: DATA })
      driver.write32(DATA, 0x5678_01ff)
      driver.write32(DATA + 4, 0x1234)
      expect(machine.attempt([...prefix, 0x0f, 0x01, 0x1b])).toBe('ok') // lidt [ebx]
      expect([cpu.st[S_IDT_LIMIT], cpu.st[S_IDT_BASE]]).toEqual([0x1ff, base])
    }
  }) // prettier-ignore
})

describe('control registers', () => {
  /** [what, instructions, outcome] */
  const table: [string, string, string][] = [
    ['CR0.PE cannot be cleared: no real mode', 'mov eax, cr0\n and eax, 0xfffffffe\n mov cr0, eax', '#GP(0)'],
    ['NW without CD', 'mov eax, 0x20000011\n mov cr0, eax', '#GP(0)'],
    ['CR4 bits this CPU has', 'mov eax, 0x29c\n mov cr4, eax', 'ok'],
    ['VME', 'mov eax, 1\n mov cr4, eax', '#GP(0)'],
    ['PVI', 'mov eax, 2\n mov cr4, eax', '#GP(0)'],
    ['PAE', 'mov eax, 0x20\n mov cr4, eax', '#GP(0)'],
    ['MCE', 'mov eax, 0x40\n mov cr4, eax', '#GP(0)'],
    ['PCE', 'mov eax, 0x100\n mov cr4, eax', '#GP(0)'],
    ['a bit nobody has', 'mov eax, 0x10000\n mov cr4, eax', '#GP(0)'],
    ['CR2 takes anything', 'mov eax, 0xffffffff\n mov cr2, eax', 'ok'],
  ]
  it.each(table)('%s', (_what, source, outcome) => {
    machine.reset(0)
    expect(machine.attempt(source)).toBe(outcome)
  })

  it('CR0 bits that do not exist stay 0, ET stays 1', () => {
    machine.reset(0)
    expect(machine.attempt('mov eax, 0x7fffffef\n mov cr0, eax\n mov ecx, cr0')).toBe('ok')
    expect(driver.get('ecx')).toBe(0x6005_003f)
  })

  it('LMSW sets and clears MP, EM, TS, but only sets PE', () => {
    machine.reset(0)
    driver.set({ eax: 0xfff0 })
    expect(machine.attempt('lmsw ax')).toBe('ok')
    expect(cpu.st[S_CR0]).toBe(CR0_START)
    driver.set({ eax: 0x000e })
    expect(machine.attempt('lmsw ax')).toBe('ok')
    expect(cpu.st[S_CR0]).toBe(CR0_START | 0xe)
    expect(machine.attempt('clts')).toBe('ok')
    expect(cpu.st[S_CR0] & CR0_TS).toBe(0)
  })

  it('MOV to and from CR takes a register whatever mod says', () => {
    machine.reset(0)
    expect(machine.attempt([0x0f, 0x20, 0x01])).toBe('ok') // mod 0
    expect(driver.get('ecx')).toBe(CR0_START)
  })
})

describe('RDTSC', () => {
  it('is for everybody without CR4.TSD, for ring 0 with it', () => {
    for (const [ring, cr4, outcome] of [[3, 0, 'ok'], [3, CR4_TSD, '#GP(0)'], [1, CR4_TSD, '#GP(0)'], [0, CR4_TSD, 'ok']] as const) {
      machine.reset(ring)
      cpu.st[S_CR4] = cr4
      expect(machine.attempt('rdtsc')).toBe(outcome)
    }
  }) // prettier-ignore

  it('WRMSR moves it', () => {
    machine.reset(0)
    driver.ticks = 1000
    driver.set({ ecx: 0x10, eax: 5, edx: 7 })
    expect(machine.attempt('wrmsr\n rdtsc')).toBe('ok')
    expect(driver.get('edx')).toBe(7)
    expect(driver.get('eax')).toBeGreaterThanOrEqual(5)
    expect(driver.get('eax')).toBeLessThan(20)
  })
})

describe('model-specific registers', () => {
  it.each([0x174, 0x175, 0x176])('%x is kept', (msr) => {
    machine.reset(0)
    driver.set({ ecx: msr, eax: 0x1234, edx: 0 })
    expect(machine.attempt('wrmsr\n xor eax, eax\n rdmsr')).toBe('ok')
    expect(driver.get('eax')).toBe(0x1234)
  })
  it('others are #GP(0), as is moving the APIC', () => {
    machine.reset(0)
    for (const source of ['rdmsr', 'wrmsr']) {
      driver.set({ ecx: 0x12345 })
      expect(machine.attempt(source)).toBe('#GP(0)')
    }
    driver.set({ ecx: 0x1b, eax: 0xfec00900, edx: 0 })
    expect(machine.attempt('wrmsr')).toBe('#GP(0)')
    driver.set({ ecx: 0x1b })
    expect(machine.attempt('rdmsr\n wrmsr')).toBe('ok')
  })
})

describe('HLT', () => {
  it('stops the CPU with EIP behind it', () => {
    machine.reset(0)
    driver.load('hlt\n nop')
    expect(driver.run(10)).toBe(1)
    expect([cpu.st[S_HALTED], driver.eip]).toEqual([1, CODE + 1])
  })
})

// Found against silicon.
describe('PUSH and POP of segment registers', () => {
  it('write and read only a word, whatever the operand size', () => {
    machine.reset(0)
    machine.push(0xaaaa_aaaa)
    driver.set({ esp: driver.get('esp') + 4 })
    expect(machine.attempt('push ds')).toBe('ok')
    expect(machine.stack(1)).toEqual([0xaaaa0000 + DATA_SELECTOR[0]])
    // A stack whose last word is at its limit.
    machine.reset(0).descriptor(FREE, { kind: 'data', limit: 0x8fff })
    driver.write32(0x8ffc, DATA_SELECTOR[0] << 16)
    driver.set({ eax: FREE, esp: 0x8ffe })
    expect(machine.attempt('mov ss, ax\n pop es')).toBe('ok')
    expect(driver.get('esp')).toBe(0x9002)
  })
})
