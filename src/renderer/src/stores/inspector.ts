/**
 * What the inspector shows of one CPU: live at 10 a second, or frozen. While the host is stopped in the debugger every
 * stop is fetched once. Memory, tables and walks are fetched by their panels whenever `refresh` grows.
 */
import { useLocalStorage } from '@vueuse/core'
import { defineStore } from 'pinia'
import { computed, ref, shallowRef, watch } from 'vue'
import type { CpuSnapshot, MemorySpace, SwitchEvent } from '@shared/inspect'
import type { EngineClient } from '../services/client'
import { useDebugStore } from './debug'
import { useGuestsStore } from './guests'
import { useNoticesStore } from './notices'

const LIVE_HZ = 10
const TIMELINE_MS = 250
/** Panels that fetch for themselves do so at half the timeline's pace. */
const POLLS_A_REFRESH = 2
const TIMELINE_KEPT = 40_000
const TIMELINE_POLL = 10_000

export const PANELS = [
  'registers',
  'control',
  'stack',
  'code',
  'breakpoints',
  'lguest',
  'tables',
  'timeline',
  'copy',
  'rates',
  'memory',
  'walk',
] as const
export type PanelName = (typeof PANELS)[number]

export const useInspectorStore = defineStore('inspector', () => {
  const debug = useDebugStore()
  const guests = useGuestsStore()
  const notices = useNoticesStore()
  const snapshot = shallowRef<CpuSnapshot | null>(null)
  /** The snapshot before it, of the same CPU: what differs is marked. */
  const previous = shallowRef<CpuSnapshot | null>(null)
  const frozen = ref(false)
  const active = ref(false)
  const events = shallowRef<SwitchEvent[]>([])
  /** World switches that happened faster than they could be fetched. */
  const dropped = ref(0)
  /** Grows when panels that fetch for themselves should fetch again. */
  const refresh = ref(0)
  /** Panels that are folded away; kept in the browser. */
  const folded = useLocalStorage<PanelName[]>('kennel.inspector.folded', [])
  /** Every panel says what it shows; kept in the browser. */
  const explaining = useLocalStorage('kennel.inspector.explain', false)
  let since = 0
  let fetching = false
  /** The last poll was not long ago: what is missing since then was missed, not left out on purpose. */
  let continuous = false
  let polls = 0
  let client: EngineClient | null = null
  let timer: ReturnType<typeof setInterval> | undefined

  /** The address space the CPU's code runs in. A guest's stays reachable after the CPU has left it. */
  const space = computed<MemorySpace>(() => {
    const world = snapshot.value?.world
    if (world?.kind === 'guest' && world.guestId !== '') return { kind: 'guestVirtual', guestId: world.guestId }
    return { kind: 'cpuVirtual', cpu: snapshot.value?.cpu ?? debug.cpu }
  })
  /** Whose symbols a name means: the CPU's guest, the one that was there last, or any that runs. */
  const symbolGuest = computed<string | null>(() => {
    const now = snapshot.value
    const candidates = [now?.world.kind === 'guest' ? now.world.guestId : null, now?.lguest?.lastGuest ?? null]
    const running = new Set(guests.running.map((g) => g.id))
    return candidates.find((id) => id !== null && running.has(id)) ?? guests.running[0]?.id ?? null
  })

  function connect(engine: EngineClient): void {
    client = engine
    engine.on('inspect', (now) => {
      if (!frozen.value) accept(now)
    })
    engine.onConnected(() => {
      forgetTimeline()
      fetching = false
      if (active.value) subscribe()
    })
  }

  function accept(now: CpuSnapshot): void {
    if (now.cpu !== debug.cpu) return
    const before = snapshot.value
    if (before?.cpu !== now.cpu) previous.value = null
    // The same moment again (the host is stopped): the marks of the last step stay.
    else if (before.time !== now.time || before.retired !== now.retired) previous.value = before
    snapshot.value = now
  }

  function isOpen(panel: PanelName): boolean {
    return !folded.value.includes(panel)
  }
  function toggle(panel: PanelName): void {
    folded.value = isOpen(panel) ? [...folded.value, panel] : folded.value.filter((name) => name !== panel)
    // What happened while it was folded away is not missed.
    if (panel === 'timeline') forgetTimeline()
  }

  function forgetTimeline(): void {
    since = 0
    continuous = false
    dropped.value = 0
    events.value = []
  }

  function subscribe(): void {
    void notices.guard(client?.request('inspect.subscribe', { cpu: debug.cpu, hz: LIVE_HZ }) ?? Promise.resolve(null))
    void fetchNow()
    refresh.value++
  }

  async function fetchNow(): Promise<void> {
    const now = await notices.guard(client?.request('inspect.cpu', { cpu: debug.cpu }) ?? Promise.resolve(undefined))
    if (now) accept(now)
  }

  async function fetchTimeline(): Promise<void> {
    if (fetching || !isOpen('timeline')) return
    fetching = true
    const more = await client?.request('inspect.timeline', { since, max: TIMELINE_POLL }).catch(() => null)
    fetching = false
    if (!more) return
    // The host was started anew and counts from zero.
    if (more.next < since) return forgetTimeline()
    if (continuous) dropped.value += more.dropped
    continuous = true
    since = more.next
    if (more.events.length > 0) events.value = [...events.value, ...more.events].slice(-TIMELINE_KEPT)
  }

  function poll(): void {
    if (frozen.value || debug.paused) return
    void fetchTimeline()
    if (++polls % POLLS_A_REFRESH === 0) refresh.value++
  }

  /** What is shown is old: everything is fetched once. */
  function fetchAll(): void {
    if (!active.value || frozen.value) return
    void fetchNow()
    void fetchTimeline()
    refresh.value++
  }

  /** The inspector's view is shown. */
  function open(cpu: number): void {
    const before = debug.cpu
    debug.cpu = cpu
    if (active.value && before !== cpu) {
      void client?.request('inspect.subscribe', { cpu: before, hz: 0 }).catch(() => null)
    }
    active.value = true
    frozen.value = false
    if (snapshot.value?.cpu !== cpu) snapshot.value = previous.value = null
    subscribe()
    void fetchTimeline()
    clearInterval(timer)
    timer = setInterval(poll, TIMELINE_MS)
  }

  function close(): void {
    active.value = false
    continuous = false
    clearInterval(timer)
    void client?.request('inspect.subscribe', { cpu: debug.cpu, hz: 0 }).catch(() => null)
  }

  watch(() => debug.stops, fetchAll)
  watch(frozen, () => {
    continuous = false
    fetchAll()
  })

  return {
    snapshot,
    previous,
    frozen,
    explaining,
    active,
    events,
    dropped,
    refresh,
    space,
    symbolGuest,
    isOpen,
    toggle,
    connect,
    open,
    close,
    fetchNow,
  }
})
