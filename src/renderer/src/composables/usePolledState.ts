/**
 * A piece of the machine that a panel fetches for itself: fetched when the inspector says so (twice a second while live,
 * at every stop of the debugger, never while frozen) and when the panel wants another piece. One request at a time, and
 * none while the panel is folded away.
 */
import { ref, shallowRef, watch, type Ref, type ShallowRef } from 'vue'
import { useConnectionStore } from '../stores/connection'
import { useInspectorStore, type PanelName } from '../stores/inspector'

export interface PolledState<T> {
  value: ShallowRef<T | null>
  /** Why the last try gave nothing, as a sentence; empty when it gave something. */
  error: Ref<string>
}

/**
 * `fetch` gives null when there is nothing to ask for; `what` names the piece, and a change of it is fetched at once.
 * While the piece changes faster than answers come, each answer is shown: they say themselves what they are of.
 */
export function usePolledState<T>(
  panel: PanelName,
  fetch: () => Promise<T> | null,
  what: () => string | number,
): PolledState<T> {
  const inspector = useInspectorStore()
  const connection = useConnectionStore()
  const value: ShallowRef<T | null> = shallowRef(null)
  const error = ref('')
  let busy = false
  let again = false

  async function run(): Promise<void> {
    if (connection.state !== 'connected' || !inspector.isOpen(panel)) return
    if (busy) {
      again = true
      return
    }
    busy = true
    try {
      value.value = await (fetch() ?? Promise.resolve(null))
      error.value = ''
    } catch (problem) {
      value.value = null
      error.value = problem instanceof Error ? problem.message : String(problem)
    }
    busy = false
    if (again) {
      again = false
      void run()
    }
  }

  watch([what, () => inspector.refresh, () => inspector.isOpen(panel), () => connection.engineId], () => void run(), {
    immediate: true,
  })

  return { value, error }
}
