import { expect, it } from 'vitest'
import { bytes } from './bytes'

it('writes amounts of memory in binary units', () => {
  expect([0, 1023, 4096, 2_359_296, 3 * 2 ** 30].map(bytes)).toEqual(['0 B', '1023 B', '4 KiB', '2.3 MiB', '3.00 GiB'])
})
