/** Connects every store to the engine, once, before the application is mounted. */
import type { EngineClient } from '../services/client'
import { useConnectionStore } from './connection'
import { useDebugStore } from './debug'
import { useGuestsStore } from './guests'
import { useInspectorStore } from './inspector'
import { useJobsStore } from './jobs'
import { useNoticesStore } from './notices'
import { useSettingsStore } from './settings'
import { useStatsStore } from './stats'

export function connectStores(engine: EngineClient): void {
  useConnectionStore().connect(engine)
  useSettingsStore().connect(engine)
  useGuestsStore().connect(engine)
  useJobsStore().connect(engine)
  useDebugStore().connect(engine)
  useInspectorStore().connect(engine)
  useStatsStore().connect(engine)
  const notices = useNoticesStore()
  engine.on('notice', ({ level, text, guestId }) => notices.show(level, text, null, guestId))
}
