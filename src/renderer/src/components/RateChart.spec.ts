// @vitest-environment happy-dom
import { mount } from '@vue/test-utils'
import { createPinia } from 'pinia'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { nextTick } from 'vue'
import { i18n } from '../i18n'
import RateChart from './RateChart.vue'

const drawn = vi.hoisted(() => ({ built: 0, data: [] as unknown[], legend: [] as unknown[] }))
vi.mock('uplot', () => ({
  default: class {
    cursor = { left: -10 }
    constructor() {
      drawn.built++
    }
    setData(data: unknown): void {
      drawn.data.push(data)
    }
    setLegend(legend: unknown): void {
      drawn.legend.push(legend)
    }
    setSize(): void {}
    destroy(): void {}
  },
}))

beforeEach(() => {
  vi.stubGlobal('requestAnimationFrame', (run: () => void) => run())
})
afterEach(() => {
  vi.unstubAllGlobals()
})

const props = (values: number[], label = 'pup') => ({
  title: 'Switches',
  times: values.map((_, i) => i),
  series: [{ label, colour: 'red', values }],
})

it('is built anew only when other series are drawn; new values are given to the chart that is there', async () => {
  const chart = mount(RateChart, { props: props([1]), global: { plugins: [createPinia(), i18n] } })
  expect(drawn.built).toBe(1)
  await chart.setProps(props([1, 2]))
  await chart.setProps(props([1, 2, 3]))
  expect(drawn.built).toBe(1)
  expect(drawn.data.at(-1)).toEqual([
    [0, 1, 2],
    [1, 2, 3],
  ])
  // Nobody points at it: the legend has the newest.
  expect(drawn.legend.at(-1)).toEqual({ idx: 2 })
  await chart.setProps(props([1, 2, 3], 'pup 2'))
  await nextTick()
  expect(drawn.built).toBe(2)
})

it('says nothing in its legend while there is nothing to draw, as after the engine was started again', async () => {
  const chart = mount(RateChart, { props: props([1]), global: { plugins: [createPinia(), i18n] } })
  const told = drawn.legend.length
  await chart.setProps(props([]))
  expect(drawn.legend).toHaveLength(told)
})
