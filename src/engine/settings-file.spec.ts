import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as v from 'valibot'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { SettingsSchema, type Settings } from '../shared/protocol.ts'
import { SettingsFile } from './settings-file.ts'

const DEFAULTS: Settings = {
  cpus: 2,
  hostRam: 512,
  executor: 'lockstep',
  copy: 'elide',
  theme: 'system',
  consoleFontSize: 14,
  consoleFontFamily: 'monospace',
  bell: true,
  scrollback: 5000,
  language: 'en',
}

let home: string
let path: string

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'kennel-settings-'))
  path = join(home, 'settings.json')
})
afterEach(async () => {
  await rm(home, { recursive: true, force: true })
})

async function opened(): Promise<SettingsFile> {
  const file = new SettingsFile(home)
  await file.load()
  return file
}

describe('the settings', () => {
  it('of a new installation are the defaults, and no file is made for them', async () => {
    const file = await opened()
    expect(file.settings).toEqual(DEFAULTS)
    expect(file.problem).toBeNull()
    expect(await readdir(home)).toEqual([])
  })

  it('are kept, whole and readable, for the user alone', async () => {
    const changed = await (await opened()).change({ cpus: 4, theme: 'dark' })
    expect(changed).toEqual({ ...DEFAULTS, cpus: 4, theme: 'dark' })
    expect(JSON.parse(await readFile(path, 'utf8'))).toEqual(changed)
    expect((await stat(path)).mode & 0o777).toBe(0o600)
    expect(await readdir(home)).toEqual(['settings.json'])
    expect((await opened()).settings).toEqual(changed)
  })

  it('take what is missing in an older file from the defaults', async () => {
    await writeFile(path, '{ "hostRam": 128 }')
    const file = await opened()
    expect(file.settings).toEqual({ ...DEFAULTS, hostRam: 128 })
    expect(file.problem).toBeNull()
  })

  it('are not changed through what was handed out', async () => {
    const file = await opened()
    file.settings.cpus = 8
    ;(await file.change({})).cpus = 7
    expect(file.settings.cpus).toBe(2)
  })
})

describe('a file that cannot be used', () => {
  it.each([
    ['half a file', '{ "cpus": 4, '],
    ['an empty file', ''],
    ['another kind of value', '[1, 2]'],
    ['nothing at all', 'null'],
  ])('%s is kept aside and named, and the defaults are used', async (_, text) => {
    await writeFile(path, text)
    const file = await opened()
    expect(file.settings).toEqual(DEFAULTS)
    expect(file.problem).toBe(`The settings could not be read; they are as new now. The old file is ${path}.broken.`)
    expect(await readdir(home)).toEqual(['settings.json.broken'])
    expect(await readFile(`${path}.broken`, 'utf8')).toBe(text)
    await file.change({ bell: false })
    expect((await opened()).settings.bell).toBe(false)
    expect(await readFile(`${path}.broken`, 'utf8')).toBe(text)
  })

  it('costs only the settings that are bad, which are named', async () => {
    const text = '{ "cpus": 9, "theme": "dark", "copy": "sometimes", "bell": false }'
    await writeFile(path, text)
    const file = await opened()
    expect(file.settings).toEqual({ ...DEFAULTS, theme: 'dark', bell: false })
    expect(file.problem).toBe(
      `Settings with values Kennel does not know are as new now: “cpus”, “copy”. The old file is ${path}.broken.`,
    )
    expect(await readFile(`${path}.broken`, 'utf8')).toBe(text)
    await file.change({})
    expect((await opened()).problem).toBeNull()
  })
})

describe('a file of a later Kennel', () => {
  it('keeps what this one does not know', async () => {
    await writeFile(path, '{ "cpus": 4, "turbo": { "boost": 2 } }')
    const file = await opened()
    expect([file.settings, file.problem]).toEqual([{ ...DEFAULTS, cpus: 4 }, null])
    await file.change({ theme: 'light' })
    expect(JSON.parse(await readFile(path, 'utf8'))).toEqual({
      ...DEFAULTS,
      cpus: 4,
      theme: 'light',
      turbo: { boost: 2 },
    })
  })
})

describe('a change', () => {
  it.each<[string, Partial<Settings>]>([
    ['no CPU', { cpus: 0 }],
    ['half a CPU', { cpus: 1.5 }],
    ['memory that is no multiple of 4 MiB', { hostRam: 130 }],
    ['too much memory', { hostRam: 4096 }],
    ['an executor nobody knows', { executor: 'warp' as 'lockstep' }],
    ['letters nobody can read', { consoleFontSize: 3 }],
    ['one good and one bad value', { theme: 'dark', scrollback: -1 }],
  ])('to %s is refused, and nothing is written', async (_, part) => {
    const file = await opened()
    await expect(file.change(part)).rejects.toThrow(v.ValiError)
    expect(file.settings).toEqual(DEFAULTS)
    expect(await readdir(home)).toEqual([])
  })

  it('that cannot be written is none', async () => {
    const file = await opened()
    await file.change({ cpus: 3 })
    await rm(home, { recursive: true })
    await expect(file.change({ cpus: 5 })).rejects.toThrow('ENOENT')
    expect(file.settings.cpus).toBe(3)
    await mkdir(home)
    expect((await file.change({ theme: 'light' })).cpus).toBe(3)
  })

  it('is seen by a reader as the old file or the new one, never half', async () => {
    const file = await opened()
    const families = ['a', 'b'].map((letter) => letter.repeat(200))
    await file.change({ consoleFontFamily: families[0] })
    let done = false
    const writing = (async () => {
      for (let n = 0; n < 100; n++) await file.change({ consoleFontFamily: families[n % 2] })
      done = true
    })()
    let reads = 0
    for (; !done; reads++) {
      const settings = v.parse(SettingsSchema, JSON.parse(await readFile(path, 'utf8')))
      expect(families).toContain(settings.consoleFontFamily)
    }
    await writing
    expect(reads).toBeGreaterThan(0)
    expect(await readdir(home)).toEqual(['settings.json'])
  })

  it('does not lose another that is made at the same time', async () => {
    const file = await opened()
    const results = await Promise.all([
      file.change({ cpus: 4 }),
      file.change({ theme: 'dark' }),
      file.change({ cpus: 0 }).catch(() => null),
      file.change({ bell: false }),
    ])
    const all = { ...DEFAULTS, cpus: 4, theme: 'dark', bell: false }
    expect(results.at(-1)).toEqual(all)
    expect(file.settings).toEqual(all)
    expect(JSON.parse(await readFile(path, 'utf8'))).toEqual(all)
  })
})
