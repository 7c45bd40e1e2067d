/** The guests as the engine tells them, and what a person can do with them. The engine is the only source of state. */
import { defineStore } from 'pinia'
import { computed, ref, watch } from 'vue'
import {
  isAlive,
  type GuestAction,
  type GuestConfigInput,
  type GuestSummary,
  type QuarantinedEntry,
  type TrashEntry,
} from '@shared/guest'
import { t } from '../i18n'
import type { EngineClient } from '../services/client'
import { importPath, jobDone } from '../services/transfer'
import { useNoticesStore } from './notices'

export const useGuestsStore = defineStore('guests', () => {
  const byId = ref(new Map<string, GuestSummary>())
  const quarantined = ref<QuarantinedEntry[]>([])
  const loaded = ref(false)
  const list = computed(() => [...byId.value.values()])
  const running = computed(() => list.value.filter((g) => isAlive(g.state)))
  const notices = useNoticesStore()
  let client: EngineClient | null = null
  const engine = (): EngineClient => {
    if (!client) throw new Error('the guests store is not connected')
    return client
  }

  function connect(to: EngineClient): void {
    client = to
    to.onConnected(() => void reload())
    to.on('guest', (guest) => byId.value.set(guest.id, guest))
    to.on('guest.removed', ({ guestId }) => byId.value.delete(guestId))
    to.onOpenFile((path) => void importFile(path))
    to.on('quarantined', (entries) => (quarantined.value = entries))
    // The app asks before it quits, and knows only what it is told.
    watch(
      () => JSON.stringify(running.value.map((g) => g.config.name)),
      (names) => window.kennel?.setRunningGuests(JSON.parse(names) as string[]),
    )
  }

  async function reload(): Promise<void> {
    const result = await notices.guard(engine().request('guests.list'))
    if (!result) return
    byId.value = new Map(result.guests.map((g) => [g.id, g]))
    quarantined.value = result.quarantined
    loaded.value = true
  }

  function get(id: string): GuestSummary | undefined {
    return byId.value.get(id)
  }

  async function create(config: GuestConfigInput, start: boolean): Promise<string> {
    const { guestId } = await engine().request('guests.create', { config, start })
    return guestId
  }

  async function update(guestId: string, config: GuestConfigInput): Promise<void> {
    await engine().request('guests.update', { guestId, config })
  }

  async function act(guestId: string, action: GuestAction): Promise<void> {
    await notices.guard(engine().request('guests.act', { guestId, action }))
  }

  async function clone(guestId: string): Promise<string | undefined> {
    const copy = async (): Promise<string | undefined> => {
      const { job } = await engine().request('guests.clone', { guestId })
      return (await jobDone(engine(), job))?.guestId ?? undefined
    }
    return notices.guard(copy())
  }

  /** A guest's file that was opened with the app. */
  async function importFile(path: string): Promise<void> {
    const guestId = await notices.guard(importPath(engine(), path))
    if (!guestId) return
    notices.show('info', t('guestsView.imported', { name: get(guestId)?.config.name ?? path }))
  }

  /** Deletes with undo: the guests go to the trash, and one notice brings them all back. */
  async function removeAll(guestIds: readonly string[]): Promise<void> {
    const gone: TrashEntry[] = []
    for (const guestId of guestIds) {
      const result = await notices.guard(engine().request('guests.delete', { guestId }))
      if (result) gone.push(result.undo)
    }
    if (gone.length === 0) return
    const named = { name: gone[0].name, n: gone.length }
    notices.show('info', t('guestsStore.trashed', named, gone.length), {
      label: t('guestsStore.undo'),
      run: () => void Promise.all(gone.map(({ id }) => undelete(id))),
    })
  }

  async function remove(guestId: string): Promise<void> {
    await removeAll([guestId])
  }

  async function rename(guestId: string, name: string): Promise<void> {
    const config = byId.value.get(guestId)?.config
    if (config) await engine().request('guests.update', { guestId, config: { ...config, name } })
  }

  async function undelete(guestId: string): Promise<void> {
    await notices.guard(engine().request('guests.undelete', { guestId }))
  }

  function trash(): Promise<TrashEntry[]> {
    return engine().request('trash.list')
  }

  async function emptyTrash(): Promise<void> {
    const result = await notices.guard(engine().request('trash.empty'))
    if (result) notices.show('info', t('guestsStore.emptied', { n: result.removed }))
  }

  return {
    byId,
    list,
    running,
    quarantined,
    loaded,
    connect,
    reload,
    get,
    create,
    update,
    act,
    clone,
    remove,
    removeAll,
    rename,
    undelete,
    trash,
    emptyTrash,
  }
})
