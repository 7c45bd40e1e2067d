// @vitest-environment happy-dom
import { flushPromises, type VueWrapper } from '@vue/test-utils'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { useNoticesStore } from '../stores/notices'
import { FakeEngine, HOST, type Answers } from '../testing/fake-engine'
import { byId, mountView } from '../testing/mount-view'
import { PUP, STATS } from '../testing/samples'
import HostView from './HostView.vue'

let fake: FakeEngine
let view: VueWrapper
async function open(answers: Answers = {}): Promise<void> {
  fake = new FakeEngine({ 'guests.list': () => ({ guests: [PUP], quarantined: [] }), ...answers })
  view = await mountView(HostView, fake, '/host')
}
const cells = (id: string): string[] =>
  byId(view, id)
    .findAll('th, td')
    .map((cell) => cell.text())

afterEach(() => {
  view.unmount()
  vi.restoreAllMocks()
})

describe('the host', () => {
  it('subscribes to statistics twice a second while it is shown', async () => {
    await open()
    expect(view.text()).toContain('Waiting for the first figures')
    expect(fake.asked('stats.subscribe')).toEqual([{ hz: 2 }])
    view.unmount()
    expect(fake.asked('stats.subscribe')).toEqual([{ hz: 2 }, { hz: 0 }])
  })

  it('shows each CPU with its guest and its scheduler', async () => {
    await open()
    await fake.emit('stats', STATS)
    expect(cells('host-cpu-0')).toEqual(['CPU 0', '62 %', 'pup', '15.2 k', '4096 B/s', '36.0 MB/s', '1', '210', '3'])
    expect(cells('host-cpu-1').slice(0, 3)).toEqual(['CPU 1', '0 %', 'host'])
    expect(byId(view, 'host-cpu-0').get('a').attributes('href')).toBe('/inspector/0')
    expect(byId(view, 'host-mips').text()).toBe('41.5 MIPS')
    expect(byId(view, 'host-rss').text()).toBe('180.0 MiB')
    expect(byId(view, 'host-ram').text()).toBe('6.5 MiB of 512.0 MiB')
  })

  it('shows memory by owner, largest first, in a bar that says the same', async () => {
    await open()
    await fake.emit('stats', STATS)
    const rows = byId(view, 'host-memory')
      .findAll('tbody tr')
      .map((row) => row.findAll('th, td').map((c) => c.text()))
    expect(rows).toEqual([
      ['host kernel', '', '4.0 MiB', '0.8 %'],
      ['guest memory', 'pup', '2.0 MiB', '0.4 %'],
      ['shadow tables', 'pup', '512 KiB', '0.1 %'],
      ['free', '', '505.5 MiB', '98.7 %'],
    ])
    expect(byId(view, 'host-memory').get('[role="img"]').attributes('aria-label')).toBe(
      '6.5 MiB of 512.0 MiB used: host kernel 4.0 MiB, guest memory of pup 2.0 MiB, shadow tables of pup 512 KiB',
    )
  })

  it('moves a guest to another CPU, and shows the old one when that is refused', async () => {
    await open({ 'host.migrate': () => null })
    await fake.emit('stats', STATS)
    const select = byId(view, 'migrate-pup')
    await select.setValue('1')
    await flushPromises()
    expect(fake.asked('host.migrate')).toEqual([{ guestId: 'pup-1', cpu: 1 }])
    fake.answers['host.migrate'] = () => {
      throw new Error('The guest is not running.')
    }
    await select.setValue('1')
    await flushPromises()
    expect((select.element as HTMLSelectElement).value).toBe('0')
    expect(useNoticesStore().notices[0].text).toBe('The guest is not running.')
  })

  it('says so when no guest runs', async () => {
    await open({ 'guests.list': () => ({ guests: [{ ...PUP, state: 'stopped' }], quarantined: [] }) })
    await fake.emit('stats', { ...STATS, guests: [] })
    expect(byId(view, 'no-guest').text()).toContain('No guest runs.')
    expect(byId(view, 'chart-switches').text()).toContain('no guest ran')
  })

  it('draws what arrived, guest by guest', async () => {
    await open()
    await fake.emit('stats', STATS)
    await fake.emit('stats', { ...STATS, mips: 20, guests: [] })
    const series = (name: string): unknown => JSON.parse(byId(view, `chart-${name}`).get('output').text())
    expect(series('mips')).toMatchObject([{ label: 'all CPUs', values: [41.5e6, 20e6] }])
    expect(series('switches')).toEqual([{ label: 'pup', colour: 'var(--guest-2)', values: [15_200, null] }])
    expect(series('bytes')).toMatchObject([{ values: [4096, 4096] }, { values: [36e6, 36e6] }])
  })

  it('offers a restart only when settings wait for one, and asks first while guests run', async () => {
    await open({ 'host.restart': () => ({}) as never })
    expect(view.find('[data-testid="restart-host"]').exists()).toBe(false)
    await fake.emit('host', { ...HOST, restartNeeded: true })
    await byId(view, 'restart-host').trigger('click')
    await flushPromises()
    expect(fake.asked('host.restart')).toEqual([])
    expect(document.body.textContent).toContain('Running guests are ended at once: pup.')
    document.querySelector<HTMLElement>('[data-testid="restart-host-confirm"]')?.click()
    await flushPromises()
    expect(fake.asked('host.restart').length).toBe(1)
  })

  it('saves the diagnostics under the name the engine gives', async () => {
    await open({ diagnostics: () => ({ name: 'kennel-diagnostics.json', text: '{"version":1}' }) })
    const saved: string[] = []
    vi.spyOn(HTMLAnchorElement.prototype, 'click').mockImplementation(function (this: HTMLAnchorElement) {
      saved.push(this.download)
    })
    await byId(view, 'diagnostics').trigger('click')
    await flushPromises()
    expect(saved).toEqual(['kennel-diagnostics.json'])
  })
})
