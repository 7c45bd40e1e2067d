/**
 * The assembler's lexer: one source line becomes a list of tokens.
 *
 * Numbers are decimal, 0x hexadecimal, 0b binary, 0o octal or hexadecimal with a trailing h (0ffh). Character constants
 * stand in single quotes ('A'), strings in double quotes. Names may hold dots, so that the field constants `struct()`
 * makes (`lguest_pages.state.host_cr3`) are one token; a name that begins with a dot is a local label or a directive, and
 * only its place in the line tells which. Comments run from `;` or `#` to the end of the line.
 *
 * Knows nothing about instructions. Also home of AssemblyError, which every stage throws.
 */

/** An error in the source text: `line` counts from 1, the message begins with it and says what is wrong. */
export class AssemblyError extends Error {
  readonly line: number

  constructor(line: number, problem: string) {
    super(`line ${line}: ${problem}`)
    this.name = 'AssemblyError'
    this.line = line
  }
}

export type Token =
  | { readonly kind: 'name'; readonly text: string }
  | { readonly kind: 'number'; readonly text: string; readonly value: number }
  | { readonly kind: 'string'; readonly text: string }
  | { readonly kind: 'punctuation'; readonly text: string }

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r', '0': '\0', e: '\x1b' }
const NAME = /[A-Za-z_.$@?][A-Za-z0-9_.$@?]*/y
const NUMBER = /(?:0x[0-9a-f]+|0b[01]+|0o[0-7]+|[0-9][0-9a-f]*h|[0-9]+)(?![A-Za-z0-9_.])/iy
const PUNCTUATION = /<<|>>|==|!=|<=|>=|&&|\|\||[-+*/%|&^~()[\],:=<>!]/y

/** Cuts a line into tokens; the comment is dropped. Throws AssemblyError on a character that begins nothing. */
export function tokenise(text: string, line: number): Token[] {
  const tokens: Token[] = []
  let at = 0
  const match = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at
    return pattern.exec(text)?.[0]
  }
  while (at < text.length) {
    const character = text[at] as string
    if (character === ' ' || character === '\t' || character === '\r') {
      at++
      continue
    }
    if (character === ';' || character === '#') break
    if (character === '"' || character === "'") {
      const quoted = readQuoted(text, at, line)
      at = quoted.end
      if (character === '"') tokens.push({ kind: 'string', text: quoted.text })
      else if (quoted.text.length === 1)
        tokens.push({ kind: 'number', text: `'${quoted.text}'`, value: quoted.text.charCodeAt(0) })
      else throw new AssemblyError(line, `a character constant holds one character, not '${quoted.text}'`)
      continue
    }
    const number = match(NUMBER)
    if (number !== undefined) {
      tokens.push({ kind: 'number', text: number, value: numberValue(number) })
      at += number.length
      continue
    }
    const name = match(NAME)
    if (name !== undefined) {
      tokens.push({ kind: 'name', text: name })
      at += name.length
      continue
    }
    const punctuation = match(PUNCTUATION)
    if (punctuation === undefined) throw new AssemblyError(line, `unexpected "${character}"`)
    tokens.push({ kind: 'punctuation', text: punctuation })
    at += punctuation.length
  }
  return tokens
}

function numberValue(text: string): number {
  return /h$/i.test(text) && !/^0x/i.test(text) ? parseInt(text, 16) : Number(text)
}

function readQuoted(text: string, start: number, line: number): { text: string; end: number } {
  const quote = text[start]
  let result = ''
  for (let at = start + 1; at < text.length; at++) {
    const character = text[at] as string
    if (character === quote) return { text: result, end: at + 1 }
    if (character !== '\\') {
      result += character
      continue
    }
    const escape = text[++at] ?? ''
    if (escape === 'x' && /^[0-9a-f]{2}$/i.test(text.slice(at + 1, at + 3))) {
      result += String.fromCharCode(parseInt(text.slice(at + 1, at + 3), 16))
      at += 2
    } else result += ESCAPES[escape] ?? escape
  }
  throw new AssemblyError(line, `missing closing ${quote}`)
}
