import { zipSync } from 'fflate'
import * as v from 'valibot'
import { describe, expect, it } from 'vitest'
import { GuestConfigSchema } from '../shared/guest.ts'
import { packGuest, unpackGuest } from './archive.ts'

const config = v.parse(GuestConfigSchema, {
  name: 'rex',
  kind: 'pup',
  disks: [{ file: 'disk.img' }],
  notes: 'good dog',
})
const text = (s: string): Uint8Array => new TextEncoder().encode(s)

describe('guest archive', () => {
  it('comes back as it was', () => {
    const guest = { config, files: [{ name: 'disk.img', data: new Uint8Array(100_000).fill(7) }] }
    expect(unpackGuest(packGuest(guest))).toEqual(guest)
  })

  it.each([
    ['a text', text('hello'), 'is not a Kennel guest'],
    ['a truncated archive', packGuest({ config, files: [] }).subarray(0, 80), 'is not a Kennel guest'],
    ['another zip', zipSync({ 'a.txt': text('a') }), 'guest.json is missing'],
    ['a bad manifest', zipSync({ 'guest.json': text('{') }), 'is damaged'],
    [
      'a bad configuration',
      zipSync({ 'guest.json': text('{"kennel":1,"config":{"name":"","kind":"pup"}}') }),
      'A guest needs a name',
    ],
    ['a file outside', zipSync({ 'guest.json': text('{}'), '../evil': text('x') }), 'outside itself'],
  ])('refuses %s with a clear sentence', (_what, bytes, sentence) => {
    expect(() => unpackGuest(bytes)).toThrow(sentence)
  })
})
