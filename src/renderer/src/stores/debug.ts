/** The debugger: whether the host is stopped and why, stepping, breakpoints. */
import { defineStore } from 'pinia'
import { computed, ref } from 'vue'
import type { Breakpoint, BreakpointKind } from '@shared/inspect'
import type { HostInfo } from '@shared/protocol'
import type { EngineClient } from '../services/client'
import { useNoticesStore } from './notices'

export const useDebugStore = defineStore('debug', () => {
  const host = ref<HostInfo | null>(null)
  const breakpoints = ref<Breakpoint[]>([])
  /** The CPU the inspector looks at; stepping means this one. */
  const cpu = ref(0)
  const paused = computed(() => host.value?.paused ?? false)
  /** Grows with every stop, so that views know to look again. */
  const stops = ref(0)
  const notices = useNoticesStore()
  let client: EngineClient | null = null
  const engine = (): EngineClient => {
    if (!client) throw new Error('the debug store is not connected')
    return client
  }

  function accept(info: HostInfo | undefined): void {
    if (!info) return
    host.value = info
    if (!info.paused) return
    stops.value++
    // Only a stop changes the hits.
    if (info.stop?.kind === 'breakpoint') void fetchBreakpoints()
  }
  async function fetchBreakpoints(): Promise<void> {
    breakpoints.value = (await notices.guard(engine().request('debug.breakpoints'))) ?? breakpoints.value
  }

  function connect(to: EngineClient): void {
    client = to
    to.onConnected(() => {
      void notices.guard(to.request('host.get')).then(accept)
      breakpoints.value = []
      void fetchBreakpoints()
    })
    to.on('host', accept)
    to.on('breakpoints', (list) => (breakpoints.value = list))
  }

  async function pause(): Promise<void> {
    accept(await notices.guard(engine().request('debug.pause')))
  }
  async function resume(): Promise<void> {
    accept(await notices.guard(engine().request('debug.resume')))
  }
  async function togglePause(): Promise<void> {
    await (paused.value ? resume() : pause())
  }
  /** Steps begin in a stopped host. */
  async function stopFirst(): Promise<void> {
    if (!paused.value) await pause()
  }
  async function step(count = 1): Promise<void> {
    await stopFirst()
    accept(await notices.guard(engine().request('debug.step', { cpu: cpu.value, count })))
  }
  /** To the end of the next world switch, on any CPU or only on the one looked at. */
  async function stepSwitch(thisCpuOnly = false): Promise<void> {
    await stopFirst()
    accept(await notices.guard(engine().request('debug.stepSwitch', thisCpuOnly ? { cpu: cpu.value } : {})))
  }
  async function runTo(address: number): Promise<void> {
    await stopFirst()
    accept(await notices.guard(engine().request('debug.runTo', { cpu: cpu.value, address })))
  }

  function keep(changed: Breakpoint): void {
    const rest = breakpoints.value.filter((b) => b.id !== changed.id)
    breakpoints.value = [...rest, changed].sort((a, b) => a.id - b.id)
  }
  /** Whether the engine took it; when not, a notice says why. */
  async function addBreakpoint(spec: BreakpointKind): Promise<boolean> {
    const added = await notices.guard(engine().request('debug.addBreakpoint', { spec }))
    if (added) keep(added)
    return added !== undefined
  }
  async function setBreakpoint(breakpointId: number, enabled: boolean): Promise<void> {
    const changed = await notices.guard(engine().request('debug.setBreakpoint', { breakpointId, enabled }))
    if (changed) keep(changed)
  }
  async function removeBreakpoint(breakpointId: number): Promise<void> {
    const done = await notices.guard(engine().request('debug.removeBreakpoint', { breakpointId }))
    if (done !== undefined) breakpoints.value = breakpoints.value.filter((b) => b.id !== breakpointId)
  }
  /** Breakpoints on an instruction. */
  function breakpointsAt(address: number): Breakpoint[] {
    return breakpoints.value.filter((b) => b.spec.kind === 'address' && b.spec.address === address)
  }

  return {
    host,
    breakpoints,
    cpu,
    paused,
    stops,
    connect,
    pause,
    resume,
    togglePause,
    step,
    stepSwitch,
    runTo,
    addBreakpoint,
    setBreakpoint,
    removeBreakpoint,
    breakpointsAt,
  }
})
