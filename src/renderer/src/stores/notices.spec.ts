// @vitest-environment happy-dom
import { createPinia, setActivePinia } from 'pinia'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { useNoticesStore } from './notices'

const told: string[] = []
class FakeNotification {
  static permission: NotificationPermission = 'granted'
  constructor(_title: string, { body }: { body: string }) {
    told.push(body)
  }
}

beforeEach(() => {
  setActivePinia(createPinia())
  told.length = 0
  FakeNotification.permission = 'granted'
  vi.stubGlobal('Notification', FakeNotification)
  vi.spyOn(document, 'hidden', 'get').mockReturnValue(true)
})
afterEach(() => {
  vi.unstubAllGlobals()
  vi.restoreAllMocks()
})

describe('notices', () => {
  it('tell the desktop what went wrong while nobody looks, and nothing else', () => {
    const notices = useNoticesStore()
    notices.show('info', 'saved')
    notices.show('error', 'pup crashed')
    notices.show('warn', 'turned off')
    expect(told).toEqual(['pup crashed', 'turned off'])
    expect(notices.notices).toHaveLength(3)
  })

  it('are not told there without leave, or to somebody who looks', () => {
    const notices = useNoticesStore()
    FakeNotification.permission = 'default'
    notices.show('error', 'one')
    FakeNotification.permission = 'granted'
    vi.spyOn(document, 'hidden', 'get').mockReturnValue(false)
    notices.show('error', 'two')
    expect(told).toEqual([])
  })

  it('show why something failed', async () => {
    const notices = useNoticesStore()
    expect(await notices.guard(Promise.reject(new Error('no disk')))).toBeUndefined()
    expect(notices.notices.map(({ level, text }) => [level, text])).toEqual([['error', 'no disk']])
    notices.dismiss(notices.notices[0].id)
    expect(notices.notices).toEqual([])
  })

  it('go after a while, but not from under the pointer, and are kept in the list', () => {
    vi.useFakeTimers()
    vi.spyOn(document, 'hidden', 'get').mockReturnValue(false)
    const notices = useNoticesStore()
    notices.show('error', 'pup crashed', null, 'pup-1')
    notices.held = true
    vi.advanceTimersByTime(60_000)
    expect(notices.notices).toHaveLength(1)
    notices.held = false
    vi.advanceTimersByTime(60_000)
    expect(notices.notices).toEqual([])
    expect(notices.past.map(({ text, guestId }) => [text, guestId])).toEqual([['pup crashed', 'pup-1']])
    vi.useRealTimers()
  })

  it('are counted until the list is looked at; what is only told is not counted', () => {
    const notices = useNoticesStore()
    notices.show('info', 'saved')
    notices.show('error', 'no disk')
    expect(notices.unread).toBe(1)
    notices.markRead()
    expect(notices.unread).toBe(0)
    expect(notices.past).toHaveLength(2)
    notices.show('warn', 'turned off')
    expect(notices.unread).toBe(1)
  })
})
