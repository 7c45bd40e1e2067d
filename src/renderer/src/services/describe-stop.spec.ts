import { describe, expect, it } from 'vitest'
import type { BreakpointKind, StopReason } from '@shared/inspect'
import { cpuOfStop, describeBreakpoint, describeStop } from './describe-stop'

const nameOf = (id: string): string => (id === 'g1' ? 'pup' : id)

describe('a stop', () => {
  it.each<[StopReason | null, string]>([
    [null, 'Paused: no CPU executes.'],
    [{ kind: 'paused' }, 'Paused: no CPU executes.'],
    [{ kind: 'step' }, 'Stopped after the step.'],
    [
      { kind: 'switch', cpu: 1, guestId: 'g1', trap: 31 },
      'pup came back from a world switch on CPU 1: hypercall (31).',
    ],
    [
      { kind: 'breakpoint', id: 2, cpu: 0, guestId: 'g1', detail: 'trap 14' },
      'Breakpoint 2 on CPU 0, in pup: trap 14.',
    ],
    [
      { kind: 'breakpoint', id: 2, cpu: 0, guestId: null, detail: '0xc0100000' },
      'Breakpoint 2 on CPU 0, in the host: 0xc0100000.',
    ],
    [{ kind: 'runTo', cpu: 3, address: 0xc0100123 }, 'CPU 3 has reached 0xc0100123.'],
  ])('%j is said as %j', (reason, text) => {
    expect(describeStop(reason, nameOf)).toBe(text)
  })
  it('is on a CPU, or on none', () => {
    expect(cpuOfStop({ kind: 'runTo', cpu: 3, address: 0 })).toBe(3)
    expect(cpuOfStop({ kind: 'paused' })).toBeNull()
    expect(cpuOfStop(null)).toBeNull()
  })
})

describe('a breakpoint', () => {
  it.each<[BreakpointKind, string]>([
    [{ kind: 'address', address: 0xc0100123, scope: {} }, 'at 0xc0100123'],
    [{ kind: 'address', address: 16, scope: { cpu: 1, guestId: 'g1' } }, 'at 0x10 in pup on CPU 1'],
    [{ kind: 'trap', trap: 13, scope: { guestId: 'g1' } }, 'trap 13 (protection) in pup'],
    [{ kind: 'hypercall', number: 14, scope: {} }, 'hypercall 14 (SET_PTE)'],
    [{ kind: 'hypercall', number: 99, scope: { cpu: 0 } }, 'hypercall 99 on CPU 0'],
    [
      { kind: 'watch', space: { kind: 'guestVirtual', guestId: 'g1' }, address: 0x1000, length: 4, access: 'write' },
      'writes of 4 bytes at 0x1000, guest-virtual in pup',
    ],
    [
      { kind: 'watch', space: { kind: 'hostPhysical' }, address: 0, length: 1, access: 'readWrite' },
      'reads and writes of 1 byte at 0x0, host-physical',
    ],
  ])('%j is said as %j', (spec, text) => {
    expect(describeBreakpoint(spec, nameOf)).toBe(text)
  })
})
