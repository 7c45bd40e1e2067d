/** Mounts a view as the application does: stores connected to a fake engine, the router at a path. */
import { flushPromises, mount, type VueWrapper } from '@vue/test-utils'
import { createPinia, setActivePinia } from 'pinia'
import type { Component } from 'vue'
import { i18n } from '../i18n'
import { createAppRouter } from '../router'
import { ENGINE } from '../services/engine'
import { connectStores } from '../stores/connect'
import type { FakeEngine } from './fake-engine'

/** Charts draw on a canvas, which the test environment does not have: their data is shown instead. */
const RateChart = {
  props: ['title', 'times', 'series'],
  template: '<output :data-chart="title">{{ JSON.stringify(series) }}</output>',
}

export async function mountView(view: Component, fake: FakeEngine, path: string): Promise<VueWrapper> {
  const pinia = createPinia()
  setActivePinia(pinia)
  connectStores(fake.client)
  const router = createAppRouter(true)
  await router.push(path)
  await fake.connect()
  const wrapper = mount(view, {
    attachTo: document.body,
    global: { plugins: [pinia, router, i18n], provide: { [ENGINE as symbol]: fake.client }, stubs: { RateChart } },
  })
  await flushPromises()
  return wrapper
}

/** The element of a test id, or a failure that names it. */
export function byId(wrapper: VueWrapper, id: string): ReturnType<VueWrapper['get']> {
  return wrapper.get(`[data-testid="${id}"]`)
}
