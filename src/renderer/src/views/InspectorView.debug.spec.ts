// @vitest-environment happy-dom
import { flushPromises } from '@vue/test-utils'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { useNoticesStore } from '../stores/notices'
import { click, fake, open, submit, type, view } from '../testing/inspector-driver'
import { byId } from '../testing/mount-view'
import { IN_GUEST } from '../testing/samples'

beforeEach(() => {
  localStorage.clear()
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
})
afterEach(() => {
  view.unmount()
  vi.useRealTimers()
})

describe('code and stack', () => {
  it('are read in the guest that the CPU is in, and the current line is marked', async () => {
    await open()
    expect(fake.asked('inspect.disassemble')[0]).toEqual({
      space: { kind: 'guestVirtual', guestId: 'pup-1' },
      address: 0xc0100123,
      count: 32,
    })
    expect(byId(view, 'current-line').text()).toContain('push ebp')
    expect(byId(view, 'disassembly').text()).toContain('call 0xc0100200 <pick_next>')
    expect(view.findAll('[data-testid="stack-word"]')[0].text()).toBe('e3e2e1e0')
  })

  it('keeps the listing while EIP moves in it, and fetches another when it leaves', async () => {
    await open()
    const before = fake.asked('inspect.disassemble').length
    await fake.emit('inspect', { ...IN_GUEST, time: 2, eip: 0xc0100124 })
    expect(byId(view, 'current-line').text()).toContain('mov ebp, esp')
    expect(fake.asked('inspect.disassemble').length).toBe(before)
    await fake.emit('inspect', { ...IN_GUEST, time: 3, eip: 0xc0100200 })
    expect(fake.asked('inspect.disassemble').at(-1)?.address).toBe(0xc0100200)
  })

  it('reads the host through the CPU when the CPU is in the host', async () => {
    await open({}, '/inspector/1')
    expect(fake.asked('inspect.disassemble')[0].space).toEqual({ kind: 'cpuVirtual', cpu: 1 })
  })

  it('sets and removes a breakpoint by its address', async () => {
    await open()
    await click('code-c0100126')
    expect(fake.asked('debug.addBreakpoint')).toEqual([
      { spec: { kind: 'address', address: 0xc0100126, scope: { guestId: 'pup-1' } } },
    ])
    expect(byId(view, 'code-c0100126').attributes('aria-pressed')).toBe('true')
    expect(byId(view, 'breakpoint-7').text()).toContain('at 0xc0100126 in pup')
    await click('code-c0100126')
    expect(fake.asked('debug.removeBreakpoint')).toEqual([{ breakpointId: 7 }])
    expect(byId(view, 'code-c0100126').attributes('aria-pressed')).toBe('false')
  })
})

describe('the debugger', () => {
  it('pauses and goes on', async () => {
    await open()
    await click('debug-pause')
    expect(byId(view, 'stop-reason').text()).toBe('Paused: no CPU executes.')
    await click('debug-resume')
    expect(fake.asked('debug.resume').length).toBe(1)
    expect(view.find('[data-testid="stop-reason"]').exists()).toBe(false)
  })

  it('steps the CPU that is looked at, by as many instructions as wanted, stopping the host first', async () => {
    await open()
    await type('step-count', '25')
    await click('debug-step')
    expect(fake.sent.map((r) => r.method).filter((m) => m.startsWith('debug.') && m !== 'debug.breakpoints')).toEqual([
      'debug.pause',
      'debug.step',
    ])
    expect(fake.asked('debug.step')).toEqual([{ cpu: 0, count: 25 }])
    expect(byId(view, 'stop-reason').text()).toBe('Stopped after the step.')
  })

  it('fetches registers, code and stack once at each stop', async () => {
    await open()
    await click('debug-pause')
    fake.answers['inspect.cpu'] = () => ({ ...IN_GUEST, time: 2, retired: 41_000_001, eip: 0xc0100124 })
    const before = fake.asked('inspect.cpu').length
    await click('debug-step')
    expect(fake.asked('inspect.cpu').length).toBe(before + 1)
    expect(byId(view, 'reg-eip').text()).toBe('c0100124')
    // The host stands still: the same moment told again keeps the mark of the step, and nothing is polled.
    await fake.emit('inspect', { ...IN_GUEST, time: 2, retired: 41_000_001, eip: 0xc0100124 })
    expect(view.findAll('[data-testid="registers"] .changed').map((e) => e.text())).toEqual(['eip c0100124'])
    const sent = fake.sent.length
    vi.advanceTimersByTime(2000)
    await flushPromises()
    expect(fake.sent.length).toBe(sent)
  })

  it('steps to the next world switch, on any CPU or on this one', async () => {
    await open()
    await click('debug-step-switch')
    await byId(view, 'this-cpu-only').setValue(true)
    await click('debug-step-switch')
    expect(fake.asked('debug.stepSwitch')).toEqual([{}, { cpu: 0 }])
    await fake.emit('host', fake.stop({ kind: 'switch', cpu: 1, guestId: 'pup-1', trap: 14 }))
    expect(byId(view, 'stop-reason').text()).toContain('pup came back from a world switch on CPU 1: page fault (14).')
    expect(byId(view, 'stop-cpu').attributes('href')).toBe('/inspector/1')
  })

  it('runs to an address', async () => {
    await open()
    await type('run-to-address', 'schedule')
    await submit('run-to-address')
    expect(fake.asked('debug.runTo')).toEqual([{ cpu: 0, address: 0xc0100123 }])
    await type('run-to-address', 'what is this')
    await submit('run-to-address')
    expect(byId(view, 'run-to-address-problem').text()).toContain('neither a hex address nor a symbol')
    expect(fake.asked('debug.runTo').length).toBe(1)
  })

  it('says that a step does nothing on a halted CPU', async () => {
    await open({}, '/inspector/1')
    await click('debug-pause')
    expect(byId(view, 'stop-reason').text()).toContain('This CPU is halted')
  })
})

describe('breakpoints', () => {
  it('are added by kind, with their scope', async () => {
    await open()
    await byId(view, 'bp-kind').setValue('trap')
    await type('bp-trap', '13')
    await byId(view, 'bp-cpu').setValue('1')
    await submit('add-breakpoint')
    await byId(view, 'bp-kind').setValue('hypercall')
    await byId(view, 'bp-hypercall').setValue('14')
    await byId(view, 'bp-cpu').setValue('')
    await byId(view, 'bp-guest').setValue('pup-1')
    await submit('add-breakpoint')
    await byId(view, 'bp-kind').setValue('watch')
    await type('bp-address', '1000')
    await byId(view, 'bp-length').setValue('2')
    await byId(view, 'bp-space').setValue('guestVirtual:pup-1')
    await submit('add-breakpoint')
    expect(fake.asked('debug.addBreakpoint').map((p) => p.spec)).toEqual([
      { kind: 'trap', trap: 13, scope: { cpu: 1 } },
      { kind: 'hypercall', number: 14, scope: { guestId: 'pup-1' } },
      {
        kind: 'watch',
        space: { kind: 'guestVirtual', guestId: 'pup-1' },
        address: 0x1000,
        length: 2,
        access: 'write',
      },
    ])
  })

  it('are refused with a sentence when the form is wrong, and nothing is sent', async () => {
    await open()
    await submit('add-breakpoint')
    expect(byId(view, 'bp-problem').text()).toContain('Type an address in hex')
    await type('bp-address', 'nobody')
    await submit('add-breakpoint')
    expect(byId(view, 'bp-problem').text()).toBe('The guest has no symbol “nobody”.')
    expect(byId(view, 'bp-address').attributes('aria-invalid')).toBe('true')
    await byId(view, 'bp-kind').setValue('trap')
    for (const text of ['257', '-1', 'e', '']) {
      await type('bp-trap', text)
      await submit('add-breakpoint')
      expect(byId(view, 'bp-problem').text()).toBe('A trap is a whole number from 0 to 256.')
    }
    expect(fake.asked('debug.addBreakpoint')).toEqual([])
  })

  it('keep their field when the engine refuses them', async () => {
    await open({
      'debug.addBreakpoint': () => {
        throw new Error('There is no memory at 0x5000 to watch: nothing is mapped there now.')
      },
    })
    await byId(view, 'bp-kind').setValue('watch')
    await type('bp-address', '5000')
    await submit('add-breakpoint')
    expect(useNoticesStore().notices[0].text).toContain('nothing is mapped there now')
    expect((byId(view, 'bp-address').element as HTMLInputElement).value).toBe('5000')
  })

  it('show their hits after a stop', async () => {
    const spec = { kind: 'trap' as const, trap: 14, scope: {} }
    let hits = 0
    await open({ 'debug.breakpoints': () => [{ id: 3, enabled: true, hits, spec }] })
    expect(byId(view, 'breakpoint-3').text()).toContain('0 hits')
    hits = 5
    await fake.emit('host', fake.stop({ kind: 'breakpoint', id: 3, cpu: 0, guestId: 'pup-1', detail: 'trap 14' }))
    expect(byId(view, 'breakpoint-3').text()).toContain('5 hits')
    expect(byId(view, 'stop-reason').text()).toBe('Breakpoint 3 on CPU 0, in pup: trap 14.')
  })

  it('are switched off, counted and removed', async () => {
    await open({
      'debug.breakpoints': () => [{ id: 3, enabled: true, hits: 1, spec: { kind: 'trap', trap: 14, scope: {} } }],
    })
    expect(byId(view, 'breakpoint-list').text()).toContain('trap 14 (page fault)')
    expect(byId(view, 'breakpoint-list').text()).toContain('1 hit')
    await byId(view, 'breakpoint-enabled-3').trigger('change')
    await flushPromises()
    expect(fake.asked('debug.setBreakpoint')).toEqual([{ breakpointId: 3, enabled: false }])
    expect(byId(view, 'breakpoint-list').text()).toContain('2 hits')
    await click('breakpoint-remove-3')
    expect(byId(view, 'no-breakpoints').text()).toContain('There are none.')
  })
})
