// @vitest-environment happy-dom
import { flushPromises, type VueWrapper } from '@vue/test-utils'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { GuestSummary } from '@shared/guest'
import { useDropStore } from '../stores/drop'
import { useNoticesStore } from '../stores/notices'
import { FakeEngine } from '../testing/fake-engine'
import { byId, mountView } from '../testing/mount-view'
import { PUP, STATS } from '../testing/samples'
import GuestsView from './GuestsView.vue'

const OFF: GuestSummary = {
  ...PUP,
  id: 'pup-2',
  state: 'stopped',
  reason: 'holiday.jpg is no kernel.',
  config: { ...PUP.config, name: 'second', tags: ['week 3'] },
}
let fake: FakeEngine
let view: VueWrapper

async function open(): Promise<void> {
  fake = new FakeEngine({
    'guests.list': () => ({ guests: [PUP, OFF], quarantined: [] }),
    'guests.act': ({ guestId, action }) => ({
      id: `${action} ${guestId}`,
      title: action,
      guestId,
      state: 'done',
      progress: null,
      cancellable: false,
      error: null,
    }),
    'guests.delete': ({ guestId }) => ({ undo: { id: guestId, name: guestId, deletedAt: '' } }),
    'guests.undelete': ({ guestId }) => ({ guestId }),
    'files.begin': ({ name }) => ({ upload: name }),
    'files.append': () => ({ size: 3 }),
    'files.finish': ({ upload }) => ({ file: `/uploads/${upload}` }),
  })
  view = await mountView(GuestsView, fake, '/')
}
const click = async (id: string): Promise<void> => {
  await byId(view, id).trigger('click')
  await flushPromises()
}
const names = (): string[] => view.findAll('.name').map((e) => e.text())

beforeEach(() => localStorage.clear())
afterEach(() => {
  view.unmount()
  document.body.innerHTML = ''
})

describe('the list of guests', () => {
  it('shows CPU share, switches, disk and network of a guest that runs, and why another one is off', async () => {
    await open()
    await fake.emit('stats', STATS)
    const of = (id: string): string[] =>
      byId(view, id)
        .findAll('dd')
        .map((e) => e.text())
    expect(of('figures-pup')).toEqual(['31 %', '15.2 k/s', '5120 B/s', '768 B/s'])
    expect(of('figures-second')).toEqual(['—', '—', '—', '—'])
    expect(byId(view, 'guest-second').text()).toContain('holiday.jpg is no kernel.')
    expect(view.find('[data-testid="guest-pup"] [data-testid="crash-reason"]').exists()).toBe(false)
  })

  it('is filtered by words and by a tag, and sorted by what was chosen last time', async () => {
    await open()
    expect(names()).toEqual(['pup', 'second'])
    await view.get('.tag').trigger('click')
    expect(names()).toEqual(['second'])
    await byId(view, 'filter').setValue('nothing like it')
    expect(names()).toEqual([])
    await byId(view, 'filter').setValue('')
    await byId(view, 'sort').setValue('newest')
    view.unmount()
    await open()
    expect((byId(view, 'sort').element as HTMLSelectElement).value).toBe('newest')
  })

  it('does with several guests what each of them can do', async () => {
    await open()
    await byId(view, 'select-all').setValue(true)
    await click('bulk-start')
    await click('bulk-pause')
    expect(fake.asked('guests.act')).toEqual([
      { guestId: 'pup-2', action: 'start' },
      { guestId: 'pup-1', action: 'pause' },
    ])
    expect(byId(view, 'open-split').text()).toContain('2')
    await click('bulk-delete')
    // A guest that runs is not deleted.
    expect(fake.asked('guests.delete')).toEqual([{ guestId: 'pup-2' }])
    useNoticesStore().notices[0].action?.run()
    await flushPromises()
    expect(fake.asked('guests.undelete')).toEqual([{ guestId: 'pup-2' }])
    await click('bulk-clear')
    expect(view.find('[data-testid="bulk"]').exists()).toBe(false)
  })

  it('acts only on what can be seen', async () => {
    await open()
    await byId(view, 'select-all').setValue(true)
    await byId(view, 'filter').setValue('second')
    expect(byId(view, 'bulk').text()).toContain('1 selected')
  })

  it('opens the wizard for a kernel that was dropped on the window, named after it', async () => {
    await open()
    useDropStore().file = new File(['ELF'], 'vmlinux-3.1.elf')
    await flushPromises()
    await flushPromises()
    expect(fake.asked('files.begin')).toMatchObject([{ name: 'vmlinux-3.1.elf' }])
    const field = (id: string): HTMLInputElement | null => document.querySelector(`[data-testid="${id}"]`)
    expect(field('wizard-name')?.value).toBe('vmlinux-3.1')
    expect(field('kind-kernel')?.checked).toBe(true)
  })
})
