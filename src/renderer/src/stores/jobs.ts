/** Jobs that run in the engine, for the progress list; failures become notices. */
import { defineStore } from 'pinia'
import { computed, ref } from 'vue'
import type { Job } from '@shared/protocol'
import { t } from '../i18n'
import type { EngineClient } from '../services/client'
import { useNoticesStore } from './notices'

export const useJobsStore = defineStore('jobs', () => {
  const byId = ref(new Map<string, Job>())
  const running = computed(() => [...byId.value.values()].filter((j) => j.state === 'running'))
  const notices = useNoticesStore()
  let client: EngineClient | null = null

  function connect(engine: EngineClient): void {
    client = engine
    engine.onConnected(() => {
      void notices.guard(engine.request('jobs.list')).then((jobs) => {
        byId.value = new Map((jobs ?? []).map((j) => [j.id, j]))
      })
    })
    engine.on('job', (job) => {
      const before = byId.value.get(job.id)
      byId.value.set(job.id, job)
      if (job.state === 'failed' && before?.state !== 'failed')
        notices.show('error', t('jobs.failed', { title: job.title, error: job.error ?? '' }))
    })
  }

  async function cancel(jobId: string): Promise<void> {
    await notices.guard(client?.request('jobs.cancel', { jobId }) ?? Promise.resolve(undefined))
  }

  return { byId, running, connect, cancel }
})
