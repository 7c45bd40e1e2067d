/** A language for tests: every form of every message stands in [[ ]], so that a text from elsewhere is seen. */
import { i18n, type Messages } from '../i18n'

type Tree = { [key: string]: string | Tree }
function wrap(tree: Tree): Tree {
  return Object.fromEntries(
    Object.entries(tree).map(([key, value]) => [
      key,
      typeof value === 'string'
        ? value
            .split(' | ')
            .map((form) => `[[${form}]]`)
            .join(' | ')
        : wrap(value),
    ]),
  )
}

/** Puts the pseudo-language in the place of English. Returns a function that takes it away again. */
export function usePseudoLocale(): () => void {
  const before = i18n.global.getLocaleMessage('en')
  i18n.global.setLocaleMessage('en', wrap(before) as Messages)
  return () => i18n.global.setLocaleMessage('en', before)
}

/** What of a text stands in no brackets, and how many are open at its end. */
function outside(text: string, open: number): { rest: string; depth: number } {
  let [rest, depth] = ['', open]
  for (const part of text.split(/(\[\[|\]\])/)) {
    if (part === '[[') depth++
    else if (part === ']]') depth--
    else if (depth === 0) rest += part
  }
  return { rest, depth }
}

/** Attributes that are read out or shown. */
const ATTRIBUTES = ['aria-label', 'aria-roledescription', 'title', 'placeholder', 'alt']

/** Texts and attributes below an element that have three letters or more outside [[ ]], after what is `allowed`. */
export function untranslated(root: Element, allowed: readonly RegExp[]): string[] {
  const words = (text: string): boolean =>
    /\p{L}{3}/u.test(allowed.reduce((rest, pattern) => rest.replaceAll(pattern, ' '), text))
  const found: string[] = []
  // A message with elements in it (<i18n-t>) opens its brackets in one text node and closes them in another.
  let depth = 0
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT)
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    if (node.parentElement?.closest('style, script')) continue
    const text = outside(node.textContent ?? '', depth)
    depth = text.depth
    if (words(text.rest)) found.push(text.rest.trim())
  }
  if (depth !== 0) found.push(`${depth} brackets are left open`)
  for (const element of root.querySelectorAll('*')) {
    for (const name of ATTRIBUTES) {
      const { rest } = outside(element.getAttribute(name) ?? '', 0)
      if (words(rest)) found.push(`${name}: ${rest.trim()}`)
    }
  }
  return found
}
