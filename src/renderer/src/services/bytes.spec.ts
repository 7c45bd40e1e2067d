import { expect, it } from 'vitest'
import { byteRate, bytes } from './bytes'

it('writes amounts of memory in binary units', () => {
  expect([0, 1023, 4096, 2_359_296, 3 * 2 ** 30].map(bytes)).toEqual(['0 B', '1023 B', '4 KiB', '2.3 MiB', '3.00 GiB'])
})

it('writes rates with the prefix at the unit', () => {
  expect([0, 4096, 82_500, 36e6, 2e9].map(byteRate)).toEqual([
    '0 B/s',
    '4096 B/s',
    '82.5 kB/s',
    '36.0 MB/s',
    '2.0 GB/s',
  ])
})
