import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { i18n, number, t } from './i18n'
import en from './locales/en.json'

type Tree = { [key: string]: string | Tree }
const flatten = (tree: Tree, path = ''): [string, string][] =>
  Object.entries(tree).flatMap(([key, value]) =>
    typeof value === 'string' ? [[path + key, value] as [string, string]] : flatten(value, `${path}${key}.`),
  )
const messages = new Map(flatten(en))

const root = import.meta.dirname
const sources = readdirSync(root, { recursive: true, encoding: 'utf8' })
  .filter((file) => /\.(ts|vue)$/.test(file) && !/\.spec\.ts$|^testing\b|^i18n\.ts$/.test(file))
  .map((file) => ({ file, text: readFileSync(join(root, file), 'utf8') }))

/** What stands between the parentheses of every call of t(). */
function callsOf(text: string): string[] {
  return [...text.matchAll(/(?<![\w.])t\(/g)].map(({ index }) => {
    let depth = 0
    for (let at = index + 1; at < text.length; at++) {
      if (text[at] === '(') depth++
      else if (text[at] === ')' && --depth === 0) return text.slice(index + 2, at)
    }
    throw new Error(`t( is not closed: ${text.slice(index, index + 60)}`)
  })
}
/** The keys a call may ask for: `'a.b'`, `x ? 'a.b' : 'a.c'`, or every key that fits `a.${b}`. */
function keysOf(call: string): string[] {
  const template = /^\s*`([^`]*)`/.exec(call)
  if (template) {
    const pattern = template[1]
      .split(/\$\{[^}]*\}/)
      .map((part) => part.replaceAll('.', '\\.'))
      .join('[^.]+')
    const fitting = [...messages.keys()].filter((key) => new RegExp(`^${pattern}$`).test(key))
    return fitting.length > 0 ? fitting : [template[1]]
  }
  return [...call.split(/,/)[0].matchAll(/'([\w.]+\.[\w.]+)'/g)].map((m) => m[1])
}
const asked = sources.flatMap(({ file, text }) => [
  ...callsOf(text).flatMap((call) => keysOf(call).map((key) => ({ file, key, call }))),
  ...[...text.matchAll(/keypath="([^"]+)"/g)].map((m) => ({ file, key: m[1], call: '' })),
])

describe('the texts', () => {
  it('are there for every key the sources ask for', () => {
    expect(asked.length).toBeGreaterThan(300)
    expect(asked.filter(({ key }) => !messages.has(key)).map(({ file, key }) => `${file}: ${key}`)).toEqual([])
  })

  it('are all used', () => {
    // Keys that a table or the router hands on stand in the sources as strings.
    const quoted = new Set(sources.flatMap(({ text }) => [...text.matchAll(/'([\w.]+)'/g)].map((m) => m[1])))
    const used = new Set(asked.map(({ key }) => key))
    expect([...messages.keys()].filter((key) => !used.has(key) && !quoted.has(key))).toEqual([])
  })

  it('get every value they name', () => {
    const without = asked.flatMap(({ file, key, call }) => {
      const given = call.slice(call.indexOf(',') + 1)
      // A key of an <i18n-t> gets its values from slots, a built key is of a family that takes none, and values in a variable cannot be read here.
      if (call === '' || call.trimStart().startsWith('`') || /^\s*\w+\s*(,|$)/.test(given)) return []
      const named = [...(messages.get(key) ?? '').matchAll(/\{(\w+)\}/g)].map((m) => m[1])
      return named.filter((name) => !new RegExp(`\\b${name}\\b`).test(given)).map((name) => `${file}: ${key} {${name}}`)
    })
    expect(without).toEqual([])
  })

  it('have keys in camelCase and say something', () => {
    const odd = [...messages].filter(([key, text]) => !/^([a-z][a-zA-Z0-9]*\.)+[a-z][a-zA-Z0-9]*$/.test(key) || !text)
    expect(odd).toEqual([])
  })

  it('fill the slots of their <i18n-t>', () => {
    const slots = sources.flatMap(({ file, text }) =>
      [...text.matchAll(/keypath="([^"]+)"[^]*?<\/i18n-t>/g)].map((m) => ({
        file,
        has: [...m[0].matchAll(/#(\w+)/g)].map((s) => s[1]).sort(),
        wants: [...(messages.get(m[1]) ?? '').matchAll(/\{(\w+)\}/g)].map((s) => s[1]).sort(),
      })),
    )
    expect(slots.length).toBeGreaterThan(3)
    for (const { file, has, wants } of slots) expect({ file, slots: has }).toEqual({ file, slots: wants })
  })
})

describe('forms and numbers', () => {
  it.each([
    [0, '0 hits'],
    [1, '1 hit'],
    [2, '2 hits'],
  ])('%i has its form', (n, text) => {
    expect(t('breakpointPanel.hits', { n }, n)).toBe(text)
  })

  it('have a fixed count of digits and no groups', () => {
    expect(number(12_345.678, 'whole')).toBe('12346')
    expect(number(12_345.65, 'tenths')).toBe('12345.7')
    expect(number(0.5, 'millionths')).toBe('0.500000')
    expect(number(2.5, 'short')).toBe('2.5')
  })

  it('take values as they are, whatever is in them', () => {
    expect(t('guestView.crashed', { name: "{name} @:units.bytes | <b>{'x'}</b>" })).toBe(
      "{name} @:units.bytes | <b>{'x'}</b> crashed.",
    )
  })

  it('follow the messages of the language', () => {
    const composer = i18n.global
    const whole = composer.getLocaleMessage('en')
    expect(t('guestsView.title')).toBe('Guests')
    composer.setLocaleMessage('en', { ...whole, guestsView: { ...whole.guestsView, title: 'Gäste' } })
    expect(t('guestsView.title')).toBe('Gäste')
    composer.setLocaleMessage('en', whole)
    expect(t('guestsView.title')).toBe('Guests')
  })
})
