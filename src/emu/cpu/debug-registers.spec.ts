import { describe, expect, it } from 'vitest'
import { PENDING_INTR, S_DR } from '../layout/cpu-state.ts'
import { CR4_DE, FLAG_RF, FLAG_TF } from '../layout/x86.ts'
import { CODE, DATA, FREE, HANDLERS, LANDING, ProtectedMode } from '../testing/protected-mode.ts'

const machine = new ProtectedMode()
const { driver } = machine
const BS = 0x4000
const BD = 0x2000
/** DR7 for breakpoint 0: enabled, kind (0 execute, 1 write, 2 port, 3 read or write), length (0 one byte, 1 two, 3 four). */
const dr7 = (kind: number, length: number): number => 1 | (kind << 16) | (length << 18)
const dr6 = (): number => machine.cpu.st[S_DR + 6] & 0xe00f

/** Sets DR0 and DR7 as a program would. */
function arm(address: number, control: number): void {
  driver.set({ eax: address, ecx: control })
  expect(machine.attempt('mov dr0, eax\n mov dr7, ecx')).toBe('ok')
}

describe('single step', () => {
  it.each([0, 3] as const)('traps after the instruction, in ring %d', (ring) => {
    machine.reset(ring)
    driver.eflags = FLAG_TF | 2
    driver.set({ ecx: 0 })
    expect(machine.attempt('inc ecx\n inc ecx')).toBe('#DB')
    expect(driver.get('ecx')).toBe(1)
    expect(machine.frame()).toMatchObject({ eip: CODE + 1, eflags: FLAG_TF | 2 })
    expect(dr6()).toBe(BS)
  })

  it('a faulting instruction is not stepped: its fault has TF in the frame', () => {
    machine.reset(3)
    driver.eflags = FLAG_TF | 2
    expect(machine.attempt('ud2\n nop')).toBe('#UD')
    expect(machine.frame().eflags & FLAG_TF).toBe(FLAG_TF)
    expect(dr6()).toBe(0)
  })

  it('TF set by POPF acts after the next instruction', () => {
    machine.reset(0)
    machine.push(FLAG_TF | 2)
    expect(machine.attempt('popfd\n nop\n nop')).toBe('#DB')
    expect(machine.frame().eip).toBe(CODE + 2)
  })

  it('an interrupt instruction goes to its handler, without a step', () => {
    machine.reset(3)
    driver.eflags = FLAG_TF | 2
    expect(machine.attempt('int 0x40')).toBe('int 40')
    expect(dr6()).toBe(0)
  })

  // Found against silicon.
  it.each([
    ['mov ss, ax', 2],
    ['pop ss', 1],
  ])('is not taken after %s, but after the instruction behind it', (source, length) => {
    machine.reset(0).push(0x10)
    driver.set({ eax: 0x10 })
    driver.eflags = FLAG_TF | 2
    expect(machine.attempt(`${source}\n nop\n nop`)).toBe('#DB')
    expect(machine.frame().eip).toBe(CODE + length + 1)
  })

  // Found against silicon.
  it('a repeated string instruction is stepped element by element, RF in the frame until the last', () => {
    machine.reset(0)
    driver.set({ ecx: 2, edi: DATA, eax: 0x41 })
    driver.eflags = FLAG_TF | 2
    expect(machine.attempt('rep stosb')).toBe('#DB')
    expect([driver.get('ecx'), machine.frame().eip, machine.frame().eflags]).toEqual([1, CODE, FLAG_TF | FLAG_RF | 2])
    driver.eflags = FLAG_TF | 2
    expect(machine.attempt('rep stosb')).toBe('#DB')
    expect([driver.get('ecx'), machine.frame().eip, machine.frame().eflags]).toEqual([0, CODE + 2, FLAG_TF | 2])
  })

  it('comes before a waiting interrupt', () => {
    machine.reset(0)
    driver.eflags = FLAG_TF | 0x202
    driver.load('nop\n nop\n hlt')
    driver.run(1)
    driver.vectors.push(0x40)
    machine.cpu.setPending(PENDING_INTR)
    driver.run(1)
    // The debug handler's gate cleared IF, so the interrupt waits until it returns.
    expect(driver.eip).toBe(HANDLERS + 16 + 1)
  })
})

describe('data breakpoints', () => {
  /** [what, kind, length, breakpoint, instruction, outcome] */
  const table: [string, number, number, number, string, string][] = [
    ['write', 1, 3, DATA, 'mov [ebx], edx', '#DB'],
    ['read does not meet a write breakpoint', 1, 3, DATA, 'mov edx, [ebx]', 'ok'],
    ['read or write: read', 3, 3, DATA, 'mov edx, [ebx]', '#DB'],
    ['read or write: write', 3, 3, DATA, 'mov [ebx], edx', '#DB'],
    ['a byte of the four', 1, 3, DATA, 'mov [ebx + 3], dl', '#DB'],
    ['behind them', 1, 3, DATA, 'mov [ebx + 4], dl', 'ok'],
    ['an access that reaches in from below', 1, 0, DATA + 2, 'mov [ebx], edx', '#DB'],
    ['an access that ends before', 1, 0, DATA + 4, 'mov [ebx], edx', 'ok'],
    ['lengths are aligned down', 1, 1, DATA + 1, 'mov [ebx], dl', '#DB'],
    ['a stack push', 1, 3, 0x8ffc, 'push edx', '#DB'],
    ['a read-modify-write', 1, 3, DATA, 'inc dword ptr [ebx]', '#DB'],
    ['fetching is no access', 3, 0, CODE + 2, 'mov edx, ebx\n nop', 'ok'],
  ]
  it.each(table)('%s', (_what, kind, length, address, source, outcome) => {
    machine.reset(0)
    arm(address, dr7(kind, length))
    driver.set({ ebx: DATA, edx: 7 })
    expect(machine.attempt(source)).toBe(outcome)
    expect(dr6()).toBe(outcome === '#DB' ? 1 : 0)
    // A trap: the instruction is done.
    if (outcome === '#DB') expect(machine.frame().eip).toBeGreaterThan(CODE)
  })

  it('end a repetition after the element that meets them', () => {
    machine.reset(0)
    arm(DATA + 2, dr7(1, 0))
    driver.set({ ecx: 5, edi: DATA, eax: 0x41 })
    expect(machine.attempt('rep stosb')).toBe('#DB')
    expect([driver.get('ecx'), driver.get('edi'), machine.frame().eip]).toEqual([2, DATA + 3, CODE])
    arm(DATA + 2, dr7(1, 0))
    driver.set({ ecx: 1, edi: DATA + 2 })
    expect(machine.attempt('rep stosb')).toBe('#DB')
    // The last element: the instruction is done.
    expect(machine.frame().eip).toBe(CODE + 2)
  })

  it('nothing is watched any more once DR7 is cleared', () => {
    machine.reset(0)
    arm(DATA, dr7(1, 3))
    arm(DATA, 0)
    driver.set({ ebx: DATA })
    expect(machine.attempt('mov [ebx], edx')).toBe('ok')
  })

  it('after MOV SS wait for the instruction behind it', () => {
    machine.reset(0)
    driver.write32(DATA, 0x10)
    arm(DATA, dr7(3, 3))
    driver.set({ ebx: DATA })
    expect(machine.attempt('mov ss, [ebx]\n nop\n nop')).toBe('#DB')
    expect(machine.frame().eip).toBe(CODE + 3)
  })
})

describe('instruction breakpoints', () => {
  it('fault before the instruction, and RF in the frame gets past it', () => {
    machine.reset(0)
    arm(CODE + 1, dr7(0, 0))
    driver.set({ ecx: 0 })
    expect(machine.attempt('nop\n inc ecx')).toBe('#DB')
    expect([driver.get('ecx'), machine.frame().eip, dr6()]).toEqual([0, CODE + 1, 1])
    // The handler sets RF and returns.
    driver.write32(driver.get('esp') + 8, machine.frame().eflags | FLAG_RF)
    driver.loadBytes([0xcf], driver.eip)
    driver.run(2)
    expect([driver.get('ecx'), driver.eip]).toEqual([1, CODE + 2])
  })

  it('are not looked at behind MOV SS', () => {
    machine.reset(0)
    arm(CODE + 2, dr7(0, 0))
    driver.set({ eax: 0x10 })
    expect(machine.attempt('mov ss, ax\n nop')).toBe('ok')
    expect(machine.attempt('mov ds, ax\n nop')).toBe('#DB')
  })

  it('look at linear addresses', () => {
    machine.reset(0).descriptor(FREE, { kind: 'code', base: 0x1000 })
    arm(LANDING + 0x1000, dr7(0, 0))
    driver.load(`jmp ${FREE}:${LANDING}`)
    driver.run(2)
    expect(dr6()).toBe(1)
  })
})

describe('the debug registers themselves', () => {
  it('DR4 and DR5 are DR6 and DR7 without CR4.DE, and #UD with it', () => {
    machine.reset(0)
    expect(machine.attempt('mov eax, dr6\n mov ecx, dr7')).toBe('ok')
    const [six, seven] = [driver.get('eax'), driver.get('ecx')]
    expect([six, seven]).toEqual([0xffff0ff0, 0x400])
    expect(machine.attempt([0x0f, 0x21, 0xe0, 0x0f, 0x21, 0xe9])).toBe('ok') // mov eax, dr4; mov ecx, dr5
    expect([driver.get('eax'), driver.get('ecx')]).toEqual([six, seven])
    driver.set({ eax: CR4_DE })
    machine.attempt('mov cr4, eax')
    expect(machine.attempt([0x0f, 0x21, 0xe0])).toBe('#UD')
  })

  it('are for ring 0 only', () => {
    for (const source of ['mov eax, dr0', 'mov dr7, eax']) {
      machine.reset(1)
      expect(machine.attempt(source)).toBe('#GP(0)')
    }
  })

  it('DR7.GD guards them: #DB with BD, and the handler may use them', () => {
    machine.reset(0)
    driver.set({ ecx: 0x2000 })
    machine.attempt('mov dr7, ecx')
    expect(machine.attempt('mov eax, dr0')).toBe('#DB')
    expect([machine.frame().eip, dr6()]).toEqual([CODE, BD])
    expect(machine.attempt('mov eax, dr0')).toBe('ok')
  })

  it.each([
    ['in al, dx', '#DB'],
    ['out dx, al', '#DB'],
    ['insb', '#DB'],
    ['outsb', '#DB'],
    ['inc edx\n in al, dx', 'ok'],
  ])('port breakpoints exist with CR4.DE: %s', (source, outcome) => {
    machine.reset(0)
    driver.set({ eax: CR4_DE })
    machine.attempt('mov cr4, eax')
    arm(0x60, dr7(2, 0))
    driver.set({ edx: 0x60, esi: DATA, edi: DATA })
    expect(machine.attempt(source)).toBe(outcome)
    machine.reset(0)
    arm(0x60, dr7(2, 0))
    driver.set({ edx: 0x60, esi: DATA, edi: DATA })
    expect(machine.attempt(source)).toBe('ok')
  })
})
