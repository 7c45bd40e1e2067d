/** Settings: kept by the engine, shown and changed here. Theme and language are applied as they change. */
import { usePreferredDark } from '@vueuse/core'
import { defineStore } from 'pinia'
import { computed, ref, watchEffect } from 'vue'
import type { Settings } from '@shared/protocol'
import { setLanguage } from '../i18n'
import type { EngineClient } from '../services/client'
import { useNoticesStore } from './notices'

export const useSettingsStore = defineStore('settings', () => {
  const settings = ref<Settings | null>(null)
  const notices = useNoticesStore()
  const systemDark = usePreferredDark()
  const theme = computed<'light' | 'dark'>(() => {
    const wanted = settings.value?.theme ?? 'system'
    if (wanted === 'system') return systemDark.value ? 'dark' : 'light'
    return wanted
  })
  watchEffect(() => {
    document.documentElement.dataset.theme = theme.value
  })
  watchEffect(() => setLanguage(settings.value?.language ?? 'en'))
  let client: EngineClient | null = null

  function connect(engine: EngineClient): void {
    client = engine
    engine.onConnected((hello) => (settings.value = hello.settings))
    engine.on('settings', (changed) => (settings.value = changed))
  }

  async function change(part: Partial<Settings>): Promise<void> {
    const result = await notices.guard(
      client?.request('settings.set', { settings: part }) ?? Promise.resolve(undefined),
    )
    if (result) settings.value = result
  }

  return { settings, theme, connect, change }
})
