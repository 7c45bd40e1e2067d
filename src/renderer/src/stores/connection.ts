/** Whether the engine is there. The other stores connect through this one. */
import { defineStore } from 'pinia'
import { ref } from 'vue'
import type { ConnectionState, EngineClient } from '../services/client'

export const useConnectionStore = defineStore('connection', () => {
  const state = ref<ConnectionState>('connecting')
  const reason = ref('')
  const responsive = ref(true)
  const version = ref('')
  /** Changes when another engine answers: what was subscribed must be subscribed again. */
  const engineId = ref('')
  let client: EngineClient | null = null

  function connect(engine: EngineClient): void {
    client = engine
    engine.onConnected((hello) => {
      state.value = 'connected'
      reason.value = ''
      version.value = hello.version
      engineId.value = hello.engineId
      responsive.value = true
    })
    engine.onLost((why) => {
      state.value = 'lost'
      reason.value = why
    })
    engine.onResponsive((now) => (responsive.value = now))
  }

  function startAgain(): void {
    state.value = 'connecting'
    client?.restartEngine()
  }

  return { state, reason, responsive, version, engineId, connect, startAgain }
})
