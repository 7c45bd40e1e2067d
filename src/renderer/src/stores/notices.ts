/**
 * Notices: short messages in a corner, with an optional action (undo). They go after a while, so that nothing is covered
 * for long; all of them are kept in a list that can be opened again.
 */
import { defineStore } from 'pinia'
import { computed, ref } from 'vue'

export interface Notice {
  id: number
  level: 'info' | 'warn' | 'error'
  text: string
  /** When it came, ms since 1970. */
  time: number
  /** The guest it is about. */
  guestId: string | null
  action: { label: string; run: () => void } | null
}

/** How long a notice stays in the corner. */
const LIFETIME_MS = { info: 8000, warn: 12_000, error: 20_000 } as const
/** While somebody points at one or has the focus in one, none goes; looked at again after this time. */
const HELD_MS = 2000
const KEPT = 100

export const useNoticesStore = defineStore('notices', () => {
  const notices = ref<Notice[]>([])
  /** Everything that was said, newest first. */
  const past = ref<Notice[]>([])
  const seen = ref(0)
  /** Warnings and errors that came since the list was looked at. */
  const unread = computed(() => past.value.filter((n) => n.id > seen.value && n.level !== 'info').length)
  const held = ref(false)
  let next = 1

  function show(
    level: Notice['level'],
    text: string,
    action: Notice['action'] = null,
    guestId: string | null = null,
  ): void {
    const notice: Notice = { id: next++, level, text, time: Date.now(), guestId, action }
    notices.value.push(notice)
    past.value = [notice, ...past.value].slice(0, KEPT)
    if (level !== 'info') announce(text)
    setTimeout(() => expire(notice.id), LIFETIME_MS[level])
  }

  /** To the desktop, for who looks elsewhere; only where that was allowed (settings). */
  function announce(text: string): void {
    if (document.hidden && 'Notification' in window && Notification.permission === 'granted') {
      new Notification('Kennel', { body: text })
    }
  }

  function expire(id: number): void {
    if (held.value || document.hidden) setTimeout(() => expire(id), HELD_MS)
    else dismiss(id)
  }

  function dismiss(id: number): void {
    notices.value = notices.value.filter((n) => n.id !== id)
  }

  /** The list was looked at: what is in the corner has been read too. */
  function markRead(): void {
    seen.value = next - 1
    notices.value = []
  }

  function forget(): void {
    past.value = []
  }

  /** Runs something that may fail, and shows the reason when it does. */
  async function guard<T>(work: Promise<T>): Promise<T | undefined> {
    try {
      return await work
    } catch (error) {
      show('error', error instanceof Error ? error.message : String(error))
      return undefined
    }
  }

  return { notices, past, unread, held, show, dismiss, markRead, forget, guard }
})
