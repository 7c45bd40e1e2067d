// @vitest-environment happy-dom
import { flushPromises } from '@vue/test-utils'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { toBase64 } from '../services/files'
import { PANELS, useInspectorStore } from '../stores/inspector'
import { useSettingsStore } from '../stores/settings'
import { click, fake, memory, open, submit, type, view } from '../testing/inspector-driver'
import { byId } from '../testing/mount-view'
import { IDLE, IN_GUEST, STATS, SWITCHES } from '../testing/samples'

beforeEach(() => {
  localStorage.clear()
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
})
afterEach(() => {
  view.unmount()
  vi.useRealTimers()
})

describe('a CPU', () => {
  it('is subscribed at 10 Hz, and shown with its registers, hidden parts and world', async () => {
    await open()
    expect(fake.asked('inspect.subscribe')).toEqual([{ cpu: 0, hz: 10 }])
    expect(byId(view, 'reg-eip').text()).toBe('c0100123')
    expect(byId(view, 'reg-esp').text()).toBe('c010ffe0')
    expect(byId(view, 'seg-cs').text()).toBe('0061')
    expect(byId(view, 'registers').text()).toContain('deadbeef')
    expect(view.text()).toContain('code r-x 32-bit DPL 1')
    expect(byId(view, 'gdtr-base').text()).toBe('ffc06968')
    expect(byId(view, 'world').text()).toBe('pup ring 1, its kernel')
    expect(view.get('[data-world]').attributes('style')).toContain('--guest-2')
  })

  it('follows events and marks what changed', async () => {
    await open()
    const gpr = IN_GUEST.gpr.with(0, 0x77)
    await fake.emit('inspect', { ...IN_GUEST, time: IN_GUEST.time + 1, eip: 0xc0100124, gpr })
    expect(byId(view, 'reg-eip').text()).toBe('c0100124')
    const changed = view.findAll('[data-testid="registers"] .changed').map((e) => e.text())
    expect(changed).toEqual(['eax 00000077', 'eip c0100124'])
  })

  it('stays as it is while frozen, and is fetched when it is thawed', async () => {
    await open()
    await click('freeze')
    expect(byId(view, 'freeze').attributes('aria-checked')).toBe('true')
    const before = fake.sent.length
    await fake.emit('inspect', { ...IN_GUEST, time: 2, eip: 0xc0100999 })
    vi.advanceTimersByTime(2000)
    await flushPromises()
    expect(byId(view, 'reg-eip').text()).toBe('c0100123')
    expect(fake.sent.length).toBe(before)
    fake.answers['inspect.cpu'] = () => ({ ...IN_GUEST, time: 3, eip: 0xc0100777 })
    await click('freeze')
    expect(byId(view, 'reg-eip').text()).toBe('c0100777')
  })

  it('is chosen by its tab; the one before is no longer subscribed', async () => {
    await open()
    await click('inspector-cpu-1')
    expect(fake.asked('inspect.subscribe')).toEqual([
      { cpu: 0, hz: 10 },
      { cpu: 0, hz: 0 },
      { cpu: 1, hz: 10 },
    ])
    expect(byId(view, 'world').text()).toBe('Host idle')
    expect(byId(view, 'halted').text()).toBe('halted')
    expect(byId(view, 'inspector-cpu-1').attributes('aria-current')).toBe('page')
    // A late event of the CPU before is not shown as this one's.
    await fake.emit('inspect', { ...IN_GUEST, eip: 0x1234 })
    expect(byId(view, 'reg-eip').text()).toBe('c0001010')
    view.unmount()
    expect(fake.asked('inspect.subscribe').at(-1)).toEqual({ cpu: 1, hz: 0 })
    expect(fake.asked('stats.subscribe')).toEqual([{ hz: 2 }, { hz: 0 }])
  })

  it('is subscribed again when another engine answers', async () => {
    await open()
    await fake.connect()
    expect(fake.asked('inspect.subscribe')).toEqual([
      { cpu: 0, hz: 10 },
      { cpu: 0, hz: 10 },
    ])
  })

  it('decodes control and debug registers bit by bit', async () => {
    await open()
    const set = view.findAll('[aria-label="Bits of cr0"] .set').map((e) => e.element.firstChild?.textContent?.trim())
    expect(set).toEqual(['PE', 'ET', 'NE', 'WP', 'PG'])
    expect(byId(view, 'bit-cr0-TS').text()).toContain('clear')
    expect(byId(view, 'bit-dr7-L0').text()).toContain('set')
    expect(view.text()).toContain('stops at execution at c0100200')
  })

  it('says so when no guest runs', async () => {
    await open({ 'guests.list': () => ({ guests: [], quarantined: [] }), 'inspect.cpu': () => ({ ...IDLE, cpu: 0 }) })
    expect(byId(view, 'no-guest').text()).toContain('No guest runs')
    expect(byId(view, 'walk-empty').text()).toContain('No guest runs')
    expect(byId(view, 'world').text()).toBe('Host idle')
  })
})

describe('tables', () => {
  it('mark the entries that the last switch copied, empty ones too', async () => {
    await open()
    expect(byId(view, 'gdt-6').classes()).toContain('copied')
    expect(byId(view, 'gdt-7').classes()).toContain('copied')
    expect(byId(view, 'gdt-12').classes()).not.toContain('copied')
    expect(view.find('[data-testid="gdt-0"]').exists()).toBe(false)
    expect(byId(view, 'copied-gdt').text()).toBe('2 copied')
    expect(view.find('[data-testid="copied-idt"]').exists()).toBe(false)
    await byId(view, 'only-copied').setValue(true)
    expect(view.find('[data-testid="gdt-12"]').exists()).toBe(false)
  })

  it('are fetched again twice a second while live', async () => {
    await open()
    const before = fake.asked('inspect.tables').length
    for (let i = 0; i < 4; i++) {
      vi.advanceTimersByTime(250)
      await flushPromises()
    }
    expect(fake.asked('inspect.tables').length).toBe(before + 2)
  })

  it('are not fetched while folded away', async () => {
    await open()
    await click('fold-tables')
    const before = fake.asked('inspect.tables').length
    vi.advanceTimersByTime(1000)
    await flushPromises()
    expect(fake.asked('inspect.tables').length).toBe(before)
  })

  it('name what the last switch copied and skipped in the hypervisor panel', async () => {
    await open()
    expect(byId(view, 'last-guest').text()).toContain('pup')
    expect(byId(view, 'part-TLS').classes()).toContain('hot')
    expect(byId(view, 'part-IDT').classes()).toContain('skipped')
    expect(byId(view, 'last-switch').text()).toBe('page fault: copied 24 bytes, skipped 2352')
  })
})

describe('memory', () => {
  it('shows bytes of pages that are not there as ??', async () => {
    await open()
    await type('memory-address', '1ff0')
    await submit('memory-address')
    const rows = view.findAll('[data-testid="memory"] tbody tr').map((row) => row.text().replace(/\s+/g, ' '))
    expect(rows[0]).toMatch(/^00001ff0 ?f0 ?f1 ?f2/)
    expect(rows[1]).toMatch(/^00002000( ?\?\?){16}$/)
  })

  it('reads the space that was chosen, at a symbol', async () => {
    await open()
    await byId(view, 'memory-space').setValue('guestPhysical:pup-1')
    await type('memory-address', 'schedule+0xd')
    await submit('memory-address')
    expect(fake.asked('inspect.symbol')).toEqual([{ guestId: 'pup-1', name: 'schedule' }])
    expect(fake.asked('inspect.memory').at(-1)).toEqual({
      space: { kind: 'guestPhysical', guestId: 'pup-1' },
      address: 0xc0100130,
      length: 256,
    })
  })

  it('says what is wrong with an address, beside the field', async () => {
    await open()
    for (const [text, problem] of [
      ['', 'Type an address in hex'],
      ['123456789', 'at most 8 hex digits'],
      ['nobody', 'no symbol “nobody”'],
      ['a b', 'neither a hex address nor a symbol'],
    ]) {
      await type('memory-address', text)
      await submit('memory-address')
      expect(byId(view, 'memory-address-problem').text()).toContain(problem)
      expect(byId(view, 'memory-address').attributes('aria-invalid')).toBe('true')
    }
  })

  it('marks the bytes that changed', async () => {
    await open()
    await type('memory-address', '10')
    await submit('memory-address')
    fake.answers['inspect.memory'] = ({ address, length }) => ({
      ...memory(address, length),
      bytes: toBase64(Uint8Array.from({ length }, (_, i) => (i === 3 ? 0xee : (address + i) & 0xff))),
    })
    vi.advanceTimersByTime(500)
    await flushPromises()
    expect(view.findAll('[data-testid="memory"] .changed').map((e) => e.text())).toEqual(['ee'])
  })

  it('moves by keys and by buttons, and stays inside 4 GiB', async () => {
    await open()
    await type('memory-address', 'fffffff8')
    await submit('memory-address')
    await click('memory-down')
    expect(fake.asked('inspect.memory').at(-1)?.address).toBe(0xffffff00)
    await view.get('[aria-label^="Memory. Arrow keys"]').trigger('keydown', { key: 'ArrowUp' })
    await flushPromises()
    expect(fake.asked('inspect.memory').at(-1)?.address).toBe(0xfffffef0)
  })

  it('shows why the engine gives none', async () => {
    await open({
      'inspect.memory': () => {
        throw new Error('That guest is not running, so it has no memory to look at.')
      },
    })
    expect(byId(view, 'memory-error').text()).toBe('That guest is not running, so it has no memory to look at.')
  })
})

describe('a page walk', () => {
  it('shows the shadow and the guest side by side', async () => {
    await open()
    await type('walk-address', '08048123')
    await submit('walk-address')
    expect(fake.asked('inspect.walk')).toEqual([{ guestId: 'pup-1', address: 0x08048123 }])
    expect(byId(view, 'walk-shadow').text()).toContain('PGD[32] at 01a3f080')
    expect(byId(view, 'walk-shadow-result').text()).toBe('The page table entry is not present.')
    expect(byId(view, 'walk-guest-result').text()).toContain('00345123')
  })
})

describe('explanations', () => {
  it('are given for one panel or for all, and name their source', async () => {
    await open()
    expect(view.findAll('.about')).toHaveLength(0)
    await click('help-lguest')
    expect(byId(view, 'about-lguest').text()).toContain('copy_in_guest_info()')
    expect(view.findAll('.about')).toHaveLength(1)
    await click('help-lguest')
    expect(view.findAll('.about')).toHaveLength(0)
    await click('explain')
    expect(view.findAll('.about')).toHaveLength(PANELS.length)
  })
})

describe('rates', () => {
  it('are shown by reason and by hypercall, of this CPU', async () => {
    await open()
    await fake.emit('stats', STATS)
    expect(byId(view, 'reason-14').text()).toContain('12.0 k')
    expect(
      byId(view, 'switches-by-reason')
        .findAll('tbody tr')
        .map((r) => r.find('td').text()),
    ).toEqual(['14', '31', '239'])
    expect(byId(view, 'hypercalls').text()).toContain('SET_PTE')
    expect(byId(view, 'copied-rate').text()).toBe('4096 B/s')
    expect(byId(view, 'avoided-rate').text()).toBe('36.0 MB/s')
    expect(JSON.parse(view.get('[data-chart="Bytes a second on CPU 0"]').text())).toMatchObject([
      { label: 'copied', values: [4096] },
      { label: 'avoided', values: [36_000_000] },
    ])
  })

  it('keep a row for each reason of the last two minutes, in the same order', async () => {
    await open()
    await fake.emit('stats', STATS)
    const cpus = [{ ...STATS.cpus[0], switchesByTrap: { '239': 900 } }, STATS.cpus[1]]
    await fake.emit('stats', { ...STATS, cpus })
    const rows = byId(view, 'switches-by-reason')
      .findAll('tbody tr')
      .map((r) => r.findAll('td').map((c) => c.text()))
    expect(rows.map((r) => [r[0], r[2]])).toEqual([
      ['14', '0'],
      ['31', '0'],
      ['239', '900'],
    ])
  })

  it('have interrupts, page faults and hypercalls of each guest', async () => {
    await open()
    await fake.emit('stats', STATS)
    expect(byId(view, 'rate-interrupts').text()).toContain('100')
    expect(byId(view, 'rate-demand').text()).toContain('12')
    expect(byId(view, 'rate-reflected').text()).toContain('700')
    expect(byId(view, 'rate-SET_PTE').text()).toContain('2500')
  })

  it('can be compared by choosing the other way of copying', async () => {
    const always = { copy: 'always' as const }
    await open({
      'settings.set': ({ settings }) => ({ ...useSettingsStore().settings!, ...always, ...(settings as object) }),
    })
    await byId(view, 'copy-mode').setValue('always')
    await flushPromises()
    expect(fake.asked('settings.set')).toEqual([{ settings: { copy: 'always' } }])
    expect((byId(view, 'copy-mode').element as HTMLSelectElement).value).toBe('always')
  })
})

describe('the timeline', () => {
  it('asks only for what is new, and starts over when the host was started anew', async () => {
    await open()
    const inspector = useInspectorStore()
    expect(inspector.events.length).toBe(3)
    vi.advanceTimersByTime(250)
    await flushPromises()
    expect(fake.asked('inspect.timeline').map((p) => p.since)).toEqual([0, 3])
    fake.answers['inspect.timeline'] = () => ({ next: 1, dropped: 0, events: SWITCHES.slice(0, 1) })
    vi.advanceTimersByTime(250)
    await flushPromises()
    expect(inspector.events.length).toBe(0)
    vi.advanceTimersByTime(250)
    await flushPromises()
    expect(fake.asked('inspect.timeline').at(-1)?.since).toBe(0)
    expect(inspector.events.length).toBe(1)
  })

  it('says how many it could not fetch in time, but not those it left out while frozen', async () => {
    await open()
    fake.answers['inspect.timeline'] = ({ since }) => ({ next: since + 50_003, dropped: 50_000, events: SWITCHES })
    await click('freeze')
    await click('freeze')
    expect(byId(view, 'panel-timeline').text()).not.toContain('missing')
    vi.advanceTimersByTime(250)
    await flushPromises()
    expect(byId(view, 'panel-timeline').text()).toContain('50.0 k switches are missing here')
  })

  it('goes from switch to switch by keys, and says what each was', async () => {
    await open()
    const timeline = byId(view, 'timeline')
    await timeline.trigger('keydown', { key: 'p' })
    expect(byId(view, 'timeline-selected').text()).toBe(
      'pup on CPU 0, 60.00 µs, left by timer interrupt (239); copied TLS: 24 bytes',
    )
    await timeline.trigger('keydown', { key: 'p' })
    expect(byId(view, 'timeline-selected').text()).toContain('left by hypercall (31); copied nothing')
    await timeline.trigger('keydown', { key: 'n' })
    expect(byId(view, 'timeline-selected').text()).toContain('timer interrupt')
  })

  it('zooms and moves by keys and buttons', async () => {
    await open()
    const length = (): string => byId(view, 'timeline-window').text()
    expect(length()).toBe('100.00 ms')
    await byId(view, 'timeline').trigger('keydown', { key: '+' })
    expect(length()).toBe('80.00 ms')
    await click('timeline-zoom-out')
    expect(length()).toBe('100.00 ms')
    expect(byId(view, 'timeline-follow').attributes('aria-pressed')).toBe('true')
    await byId(view, 'timeline').trigger('keydown', { key: 'ArrowLeft' })
    expect(byId(view, 'timeline-follow').attributes('aria-pressed')).toBe('false')
    await click('timeline-all')
    expect(length()).toBe('93.60 µs')
    await byId(view, 'timeline').trigger('keydown', { key: 'End' })
    expect(byId(view, 'timeline-follow').attributes('aria-pressed')).toBe('true')
  })
})
