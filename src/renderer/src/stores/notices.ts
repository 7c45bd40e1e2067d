/** Notices: short messages in a corner, kept until read or a few seconds, with an optional action (undo). */
import { defineStore } from 'pinia'
import { ref } from 'vue'

export interface Notice {
  id: number
  level: 'info' | 'warn' | 'error'
  text: string
  action: { label: string; run: () => void } | null
}

/** Errors stay until they are closed. */
const LIFETIME_MS = 8000

export const useNoticesStore = defineStore('notices', () => {
  const notices = ref<Notice[]>([])
  let next = 1

  function show(level: Notice['level'], text: string, action: Notice['action'] = null): void {
    const id = next++
    notices.value.push({ id, level, text, action })
    if (level !== 'info') announce(text)
    if (level !== 'error') setTimeout(() => dismiss(id), LIFETIME_MS)
  }

  /** To the desktop, for who looks elsewhere; only where that was allowed (settings). */
  function announce(text: string): void {
    if (document.hidden && 'Notification' in window && Notification.permission === 'granted') {
      new Notification('Kennel', { body: text })
    }
  }

  function dismiss(id: number): void {
    notices.value = notices.value.filter((n) => n.id !== id)
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

  return { notices, show, dismiss, guard }
})
