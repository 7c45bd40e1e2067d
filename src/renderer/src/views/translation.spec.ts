// @vitest-environment happy-dom
import { flushPromises, type VueWrapper } from '@vue/test-utils'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Component } from 'vue'
import type { GuestSummary } from '@shared/guest'
import App from '../App.vue'
import { toBase64 } from '../services/files'
import { useNoticesStore } from '../stores/notices'
import { FakeEngine, HOST, type Answers } from '../testing/fake-engine'
import {
  click,
  fake as inspected,
  open as openInspector,
  submit,
  type,
  view as inspector,
} from '../testing/inspector-driver'
import { byId, mountView } from '../testing/mount-view'
import { untranslated, usePseudoLocale } from '../testing/pseudo-locale'
import { PUP, STATS } from '../testing/samples'
import GuestsView from './GuestsView.vue'
import HostView from './HostView.vue'
import LogsView from './LogsView.vue'
import SettingsView from './SettingsView.vue'
import SplitView from './SplitView.vue'

/** What is not a text of the app: names, what the engine says, and technical identifiers. */
const ALLOWED = [
  // Names of guests, of the app and of fonts.
  /\b(pup|Kennel|monospace)\b/g,
  // What the engine says: owners of memory, executors, reasons, descriptions of descriptors and flags.
  /\b(host kernel|guest memory|shadow tables|lockstep)\b/g,
  /The engine says why\.|The page table entry is not present\.|not present/g,
  /\b(data rw-|code r-x) 32-bit DPL \d(, base 0x\w+, limit 0x\w+)?|unusable|TSS \(busy\) DPL \d|empty/g,
  /interrupt gate DPL \d to 0x\w+:0x\w+/g,
  // Registers, flags, bits, selectors, table fields, hypercalls, symbols, instructions.
  /\b(e[a-ds][xpi]|e[bis]p|edi|eip|eflags|[cd]r\d|ldtr|gdtr|idtr|TSS|IDT|GDT|TLS|st\d|esp0|ss0|cw|sw|tw)\b/gi,
  /\b(gpgdir|regs_page|host_cr3|last_guest|last_pages|lguest_pages|changed|PGD|PTE)\b/g,
  /\b(DF|ID|TSD|PSE|PAE|PGE|OSFXSR|OSXMM|PWT|PCD|VME|PVI|MCE|PCE)\b/g,
  /\b[A-Z]+(_[A-Z]+)+\b|\b(SHUTDOWN|HALT|NOTIFY)\b/g,
  /schedule(\+0x[0-9a-f]+)?|pick_next|\b(push|mov|call|nop) ?(ebp(, esp)?)?/g,
  // Moments, as the language writes them.
  /\b[A-Z][a-z]{2} \d{1,2}, \d{4}, \d\d:\d\d/g,
  // Addresses, words and bytes in hex.
  /\b(0x)?[0-9a-f]{2,8}\b/g,
]

const CRASHED: GuestSummary = {
  ...PUP,
  id: 'pup-2',
  state: 'crashed',
  reason: 'The engine says why.',
  config: { ...PUP.config, kind: 'kernel' },
}
let view: VueWrapper | undefined
let restore: () => void

/** Mounts in English, then changes the language: what was translated once and for all is seen too. */
async function show(component: Component, path: string, answers: Answers = {}): Promise<FakeEngine> {
  restore()
  const fake = new FakeEngine({ 'guests.list': () => ({ guests: [PUP, CRASHED], quarantined: [] }), ...answers })
  view = await mountView(component, fake, path)
  restore = usePseudoLocale()
  await flushPromises()
  return fake
}
/** Memory without letters in its right-hand column. */
const blank: Answers['inspect.memory'] = ({ address, length }) => ({
  address,
  bytes: toBase64(new Uint8Array(length)),
  mapped: [true, true],
})
const left = (): string[] => untranslated(document.body, ALLOWED)
const press = async (id: string): Promise<void> => {
  document.querySelector<HTMLElement>(`[data-testid="${id}"]`)?.click()
  await flushPromises()
}

beforeEach(() => {
  localStorage.clear()
  restore = usePseudoLocale()
})
afterEach(() => {
  view?.unmount()
  view = undefined
  restore()
  document.body.innerHTML = ''
})

describe('the check', () => {
  it('sees a text and an attribute that are not translated', () => {
    document.body.innerHTML =
      '<p title="[[Good]]">[[Fine [[inner]] <a>link</a> on]] stray</p><input placeholder="Type [[here]]" />12 B/s'
    expect(left()).toEqual(['stray', 'placeholder: Type'])
  })
})

describe('every text of the app comes from the language file', () => {
  it('guests', async () => {
    const fake = await show(GuestsView, '/', {
      'trash.list': () => [{ id: 'x', name: 'pup', deletedAt: '2026-01-01T10:00:00Z' }],
    })
    await fake.emit('stats', STATS)
    expect(view?.text()).toContain('[[Guests]]')
    expect(view?.text()).toContain('[[15.2 k/s]]')
    expect(left()).toEqual([])
    await press('select-all')
    expect(view?.text()).toContain('[[2 selected]]')
    expect(left()).toEqual([])
    await press('trash')
    expect(document.body.textContent).toContain('[[Bring back]]')
    expect(left()).toEqual([])
  })

  it('the first run, and a guest that cannot be read', async () => {
    await show(GuestsView, '/', {
      'guests.list': () => ({ guests: [], quarantined: [{ folder: 'pup', problem: 'The engine says why.' }] }),
    })
    expect(view?.text()).toContain('[[Run pup]]')
    expect(left()).toEqual([])
  })

  it('the wizard', async () => {
    await show(GuestsView, '/?new=1')
    expect(document.body.textContent).toContain('[[What to run]]')
    await press('kind-kernel')
    await press('wizard-save')
    expect(document.body.textContent).toContain('[[Choose a kernel file: vmlinux or bzImage.]]')
    expect(left()).toEqual([])
  })

  it('settings', async () => {
    const fake = await show(SettingsView, '/settings')
    await fake.emit('host', { ...HOST, restartNeeded: true })
    expect(view?.text()).toContain('1 running guest would be stopped.]]')
    expect(left()).toEqual([])
  })

  it('the host', async () => {
    const fake = await show(HostView, '/host')
    expect(left()).toEqual([])
    await fake.emit('stats', STATS)
    await fake.emit('host', { ...HOST, restartNeeded: true })
    // Charts show their data here: labels of series are in it.
    for (const chart of document.querySelectorAll('output')) {
      for (const { label } of JSON.parse(chart.textContent ?? '') as { label: string }[]) {
        expect(label).toMatch(/^\[\[.*\]\]$|^pup$/)
      }
      expect(chart.dataset.chart).toMatch(/^\[\[.*\]\]$/)
      chart.remove()
    }
    await press('restart-host')
    expect(document.body.textContent).toContain('[[Restart the host?]]')
    expect(view?.text()).toContain('[[62 %]]')
    expect(left()).toEqual([])
  })

  it('the host without guests', async () => {
    const fake = await show(HostView, '/host', { 'guests.list': () => ({ guests: [], quarantined: [] }) })
    await fake.emit('stats', { ...STATS, guests: [] })
    expect(view?.text()).toContain('[[No guest runs. [[Start one]] to see where it is placed.]]')
    for (const chart of document.querySelectorAll('output')) chart.remove()
    expect(left()).toEqual([])
  })

  it('logs and the split view without guests', async () => {
    await show(LogsView, '/logs', { 'logs.get': () => [] })
    expect(view?.text()).toContain('[[Nothing was logged.]]')
    expect(left()).toEqual([])
    view?.unmount()
    await show(SplitView, '/split')
    expect(view?.text()).toContain('[[list]]')
    expect(left()).toEqual([])
  })

  it('the frame, the palette, the shortcuts and a notice', async () => {
    await show(App, '/settings')
    expect(byId(view as VueWrapper, 'nav-CPU inspector').text()).toBe('[[CPU inspector]]')
    useNoticesStore().show('info', 'The engine says why.')
    window.dispatchEvent(new KeyboardEvent('keydown', { key: 'k', code: 'KeyK', ctrlKey: true }))
    await flushPromises()
    expect(document.body.textContent).toContain('[[Go to the host]]')
    expect(document.body.textContent).toContain('[[pup: [[Pause]]]]')
    expect(left()).toEqual([])
    window.dispatchEvent(new KeyboardEvent('keydown', { key: '/', code: 'Slash', ctrlKey: true }))
    await flushPromises()
    expect(document.body.textContent).toContain('[[Clear the console]]')
    expect(left()).toEqual([])
  })
})

describe('every text of the inspector comes from the language file', () => {
  beforeEach(() => vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] }))
  afterEach(() => {
    inspector.unmount()
    vi.useRealTimers()
  })
  async function translated(): Promise<void> {
    restore = usePseudoLocale()
    await flushPromises()
    for (const chart of document.querySelectorAll('output')) chart.remove()
  }

  it('in a guest', async () => {
    restore()
    await openInspector({
      'inspect.memory': blank,
      'debug.breakpoints': () => [
        { id: 1, enabled: true, hits: 1, spec: { kind: 'trap', trap: 14, scope: { cpu: 0, guestId: 'pup-1' } } },
        {
          id: 2,
          enabled: false,
          hits: 0,
          spec: { kind: 'watch', space: { kind: 'hostPhysical' }, address: 4, length: 4, access: 'write' },
        },
      ],
    })
    await inspected.emit('stats', STATS)
    await type('walk-address', '08048123')
    await submit('walk-address')
    await byId(inspector, 'timeline').trigger('keydown', { key: 'p' })
    await click('debug-pause')
    await click('freeze')
    await translated()
    expect(inspector.text()).toContain('[[ring 1, its kernel]]')
    expect(byId(inspector, 'last-switch').text()).toBe('[[[[page fault]]: copied 24 bytes, skipped 2352]]')
    expect(byId(inspector, 'breakpoint-1').text()).toContain('[[1 hit]]')
    expect(left()).toEqual([])
  })

  it('in the host, without guests, stopped elsewhere', async () => {
    restore()
    await openInspector(
      { 'guests.list': () => ({ guests: [], quarantined: [] }), 'inspect.memory': blank },
      '/inspector/1',
    )
    await inspected.emit('host', { ...HOST, paused: true, stop: { kind: 'runTo', cpu: 0, address: 16 } })
    await translated()
    for (const [kind, field] of [
      ['hypercall', null],
      ['watch', 'bp-address'],
      ['trap', 'bp-trap'],
    ] as const) {
      await byId(inspector, 'bp-kind').setValue(kind)
      if (field) await type(field, 'x y')
      await submit('breakpoint-form')
      expect(inspector.find('[data-testid="bp-problem"]').exists()).toBe(field !== null)
      expect(left()).toEqual([])
    }
    expect(byId(inspector, 'stop-reason').text()).toContain('[[CPU 0 has reached 0x10.]]')
    expect(byId(inspector, 'no-guest').text()).toContain('[[Start a guest]]')
    expect(left()).toEqual([])
  })
})
