/** Statistics of the last two minutes: what the host view and the rate graphs draw. */
import { defineStore } from 'pinia'
import { ref, shallowRef } from 'vue'
import type { Stats } from '@shared/protocol'
import type { EngineClient } from '../services/client'

const KEPT = 240
const HZ = 2

export const useStatsStore = defineStore('stats', () => {
  const latest = shallowRef<Stats | null>(null)
  const history = shallowRef<Stats[]>([])
  /** When each of `history` arrived, seconds since 1970: the charts' time axis. */
  const times = shallowRef<number[]>([])
  const users = ref(0)
  let client: EngineClient | null = null

  function subscribe(hz: number): void {
    void client?.request('stats.subscribe', { hz }).catch(() => null)
  }

  function connect(engine: EngineClient): void {
    client = engine
    engine.on('stats', (stats) => {
      latest.value = stats
      history.value = [...history.value, stats].slice(-KEPT)
      times.value = [...times.value, Date.now() / 1000].slice(-KEPT)
    })
    engine.onConnected(() => {
      history.value = []
      times.value = []
      latest.value = null
      if (users.value > 0) subscribe(HZ)
    })
  }

  /** A view needs statistics; call the returned function when it no longer does. */
  function use(): () => void {
    if (users.value++ === 0) subscribe(HZ)
    return () => {
      if (--users.value === 0) subscribe(0)
    }
  }

  return { latest, history, times, connect, use }
})
