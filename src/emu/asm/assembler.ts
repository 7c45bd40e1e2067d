/**
 * A small i386 assembler: Intel syntax, 32-bit code, a flat image at one origin. It assembles the Switcher, the host kernel's
 * text, boot code and the machine code in tests; it has no sections, object files or macros.
 *
 *     start:  mov eax, [ebx + lguest_pages.state.host_cr3]   ; names come in through options.symbols
 *     .again: loop .again                                     # local to `start`, known outside as start.again
 *             .rept 256                                       # \i counts 0, 1, 2 ... inside (or \n with `.rept 256, n`)
 *             push \i
 *             .endr
 *
 * Directives: .byte .word .long (numbers, .byte also strings), .ascii .asciz, .align n[, fill] (default fill 0x90), .space n[, fill],
 * .org address[, fill], .equ name, value (or name = value), .rept/.endr, .if/.else/.endif (constants only).
 * Branches start short and only ever grow, so the layout settles. Knows nothing of the CPU; imported by every higher layer.
 */
import { encodeInstruction, emitValue } from './encode.ts'
import { evaluate, type Expression, isConstant, parseExpression, qualify, TokenStream } from './expression.ts'
import { formsOf, PREFIXES } from './instructions.ts'
import { AssemblyError, type Token, tokenise } from './lexer.ts'
import { isRegisterName, type Operand, parseOperands } from './operands.ts'

export { AssemblyError } from './lexer.ts'

export interface AssembleOptions {
  /** Linear address of the first byte, 0 to 0xFFFFFFFF. */
  readonly origin: number
  /** Constants the source may use by name, for example a struct's field offsets. */
  readonly symbols?: Readonly<Record<string, number>>
}

export interface Assembled {
  readonly bytes: Uint8Array
  /** Absolute address of each label; local ones under their full name, "parent.local". */
  readonly labels: Readonly<Record<string, number>>
}

type Statement = { readonly line: number } & (
  | { readonly kind: 'label'; readonly name: string }
  | { readonly kind: 'instruction'; mnemonic: string; prefixes: readonly number[]; operands: readonly Operand[] }
  | { readonly kind: 'data'; readonly width: 1 | 2 | 4; readonly items: readonly (Expression | string)[] }
  | { readonly kind: 'align' | 'space' | 'org'; readonly amount: Expression; readonly fill: Expression | undefined }
)

interface SourceLine {
  readonly text: string
  readonly line: number
}

/** More than anything we assemble; a .rept or .space beyond it is a mistake in the source. */
const MAX_BYTES = 1 << 20

/** Assembles `source`. Throws AssemblyError, which names the line and the problem. */
export function assemble(source: string, options: AssembleOptions): Assembled {
  const parser = new Parser(options.symbols ?? {})
  parser.parseLines(source.split('\n').map((text, i) => ({ text, line: i + 1 })))
  return layOut(parser, options.origin)
}

/** First stage: lines to statements. Collects constants and the names of all labels. */
class Parser {
  readonly statements: Statement[]
  readonly constants: Map<string, number>
  readonly labels: Map<string, number>
  private scope: string

  constructor(symbols: Readonly<Record<string, number>>) {
    this.statements = []
    this.constants = new Map(Object.entries(symbols))
    this.labels = new Map()
    this.scope = ''
  }

  parseLines(lines: readonly SourceLine[]): void {
    for (let at = 0; at < lines.length; at++) {
      const { text, line } = lines[at] as SourceLine
      const opening = /^\s*\.(rept|if)\b/.exec(text)?.[1]
      if (opening === 'rept') at = this.parseRept(lines, at)
      else if (opening === 'if') at = this.parseIf(lines, at)
      else this.parseLine(tokenise(text, line), line)
    }
  }

  /** .rept count[, counter] ... .endr; the counter is substituted in the text, so it can also be part of a name. */
  private parseRept(lines: readonly SourceLine[], start: number): number {
    const { text, line } = lines[start] as SourceLine
    const end = findEnd(lines, start, 'rept', 'endr')
    const stream = this.directiveStream(text, line)
    const count = this.constant(stream)
    let counter = 'i'
    if (stream.take(',')) counter = stream.word()
    if (!Number.isInteger(count) || count < 0 || count > MAX_BYTES) stream.fail(`cannot repeat ${count} times`)
    const body = lines.slice(start + 1, end)
    const pattern = new RegExp(`\\\\${counter}(?![A-Za-z0-9_])`, 'g')
    for (let i = 0; i < count; i++) {
      this.parseLines(body.map((each) => ({ text: each.text.replace(pattern, String(i)), line: each.line })))
    }
    return end
  }

  /** .if condition ... [.else ...] .endif, nested as deep as one likes. */
  private parseIf(lines: readonly SourceLine[], start: number): number {
    const { text, line } = lines[start] as SourceLine
    const end = findEnd(lines, start, 'if', 'endif')
    let otherwise = end
    for (let at = start + 1, depth = 0; at < end; at++) {
      const word = /^\s*\.(if|else|endif)\b/.exec((lines[at] as SourceLine).text)?.[1]
      if (word === 'if') depth++
      else if (word === 'endif') depth--
      else if (word === 'else' && depth === 0) otherwise = at
    }
    const holds = this.constant(this.directiveStream(text, line)) !== 0
    this.parseLines(holds ? lines.slice(start + 1, otherwise) : lines.slice(otherwise + 1, end))
    return end
  }

  private directiveStream(text: string, line: number): TokenStream {
    const stream = new TokenStream(tokenise(text, line), line, this.scope)
    stream.at = 1
    return stream
  }

  /** An expression that must be known while parsing. */
  private constant(stream: TokenStream): number {
    const expression = parseExpression(stream)
    return evaluate(
      expression,
      (name) => this.constants.get(name) ?? stream.fail(`"${name}" is not a constant known at this point`),
      0,
    )
  }

  private parseLine(tokens: Token[], line: number): void {
    let at = 0
    for (; tokens[at]?.kind === 'name' && tokens[at + 1]?.text === ':'; at += 2) {
      this.defineLabel((tokens[at] as Token).text, line)
    }
    const stream = new TokenStream(tokens.slice(at), line, this.scope)
    const first = stream.peek()
    if (first === undefined) return
    if (first.kind !== 'name') stream.fail(`expected an instruction before ${stream.describe()}`)
    stream.at++
    if (stream.take('=')) this.defineConstant(first.text, stream)
    else if (first.text.startsWith('.')) this.parseDirective(first.text, stream)
    else this.parseInstruction(first.text.toLowerCase(), stream)
  }

  private checkFree(name: string, line: number): void {
    if (isRegisterName(name.toLowerCase())) throw new AssemblyError(line, `"${name}" is a register`)
    if (this.labels.has(name) || this.constants.has(name)) throw new AssemblyError(line, `"${name}" is defined twice`)
  }

  private defineLabel(text: string, line: number): void {
    const name = qualify(text, this.scope)
    this.checkFree(name, line)
    if (!text.startsWith('.')) this.scope = name
    this.labels.set(name, 0)
    this.statements.push({ kind: 'label', name, line })
  }

  private defineConstant(name: string, stream: TokenStream): void {
    this.checkFree(name, stream.line)
    this.constants.set(name, this.constant(stream))
    if (!stream.done) stream.fail(`unexpected ${stream.describe()}`)
  }

  private parseInstruction(first: string, stream: TokenStream): void {
    const prefixes: number[] = []
    let mnemonic = first
    while (PREFIXES[mnemonic] !== undefined && !stream.done) {
      prefixes.push(PREFIXES[mnemonic] as number)
      mnemonic = stream.word()
      stream.at++
    }
    if (formsOf(mnemonic) === undefined) stream.fail(`unknown instruction "${mnemonic}"`)
    const operands = parseOperands(stream)
    this.statements.push({ kind: 'instruction', mnemonic, prefixes, operands, line: stream.line })
  }

  private parseDirective(name: string, stream: TokenStream): void {
    const line = stream.line
    switch (name) {
      case '.byte':
      case '.word':
      case '.long': {
        const width = name === '.byte' ? 1 : name === '.word' ? 2 : 4
        this.statements.push({ kind: 'data', width, items: this.parseItems(stream), line })
        break
      }
      case '.ascii':
      case '.asciz': {
        const items = this.parseItems(stream)
        if (items.some((item) => typeof item !== 'string')) stream.fail(`${name} takes strings in double quotes`)
        const texts = items.map((item) => (name === '.asciz' ? `${String(item)}\0` : item))
        this.statements.push({ kind: 'data', width: 1, items: texts, line })
        break
      }
      case '.align':
      case '.space':
      case '.org': {
        const kind = name.slice(1) as 'align' | 'space' | 'org'
        const amount = parseExpression(stream)
        const fill = stream.take(',') ? parseExpression(stream) : undefined
        this.statements.push({ kind, amount, fill, line })
        break
      }
      case '.equ': {
        const symbol = stream.peek()
        if (symbol?.kind !== 'name') stream.fail('.equ takes a name and a value')
        stream.at++
        stream.expect(',')
        this.defineConstant(symbol.text, stream)
        break
      }
      default:
        stream.fail(`unknown directive "${name}"`)
    }
    if (!stream.done) stream.fail(`unexpected ${stream.describe()}`)
  }

  private parseItems(stream: TokenStream): (Expression | string)[] {
    const items: (Expression | string)[] = []
    do {
      const token = stream.peek()
      if (token?.kind === 'string') {
        stream.at++
        items.push(token.text)
      } else items.push(parseExpression(stream))
    } while (stream.take(','))
    return items
  }
}

/** Index of the line that closes the block opened at `start`. */
function findEnd(lines: readonly SourceLine[], start: number, open: string, close: string): number {
  const pattern = new RegExp(`^\\s*\\.(${open}|${close})\\b`)
  for (let at = start + 1, depth = 0; at < lines.length; at++) {
    const word = pattern.exec((lines[at] as SourceLine).text)?.[1]
    if (word === open) depth++
    else if (word === close && depth-- === 0) return at
  }
  throw new AssemblyError((lines[start] as SourceLine).line, `.${open} without .${close}`)
}

/** Second stage: encode everything again and again until no branch grows and no label moves. */
function layOut(parser: Parser, origin: number): Assembled {
  const { statements, labels, constants } = parser
  const near = new Set<Statement>()
  let addresses: number[] = []
  for (let settled = false; ;) {
    const bytes: number[] = []
    const next: number[] = []
    const moved = new Map<string, number>()
    const grew = near.size
    for (const [i, statement] of statements.entries()) {
      const at = origin + bytes.length
      next.push(at)
      if (statement.kind === 'label') moved.set(statement.name, at)
      // Branch distances use one consistent layout, the last pass's: mixing in this pass's addresses would grow branches
      // that turn out to reach.
      else encodeStatement(statement, at, addresses[i] ?? at, bytes)
      if (bytes.length > MAX_BYTES)
        throw new AssemblyError(statement.line, `the image is larger than ${MAX_BYTES} bytes`)
    }
    const stable = settled && near.size === grew && next.every((address, i) => address === addresses[i])
    if (stable) return { bytes: Uint8Array.from(bytes), labels: Object.fromEntries(labels) }
    for (const [name, address] of moved) labels.set(name, address)
    addresses = next
    settled = true

    function encodeStatement(
      statement: Exclude<Statement, { kind: 'label' }>,
      here: number,
      address: number,
      out: number[],
    ): void {
      const fail = (problem: string): never => {
        throw new AssemblyError(statement.line, problem)
      }
      const lookup = (name: string): number =>
        constants.get(name) ?? labels.get(name) ?? fail(`"${name}" is not defined`)
      const context = {
        address,
        near: near.has(statement),
        settled,
        value: (expression: Expression) => evaluate(expression, lookup, address),
        isConstant: (expression: Expression) => isConstant(expression, (name) => constants.has(name)),
        tooFar: () => void near.add(statement),
        fail,
      }
      if (statement.kind === 'instruction') {
        const encoded = encodeInstruction(statement.mnemonic, statement.prefixes, statement.operands, context)
        out.push(...encoded)
      } else if (statement.kind === 'data') {
        for (const item of statement.items) {
          if (typeof item !== 'string') emitValue(out, context.value(item), statement.width * 8, context)
          else for (const character of item) out.push(character.charCodeAt(0) & 0xff)
        }
      } else {
        const amount = context.value(statement.amount)
        if (statement.kind === 'align' && (amount < 1 || (amount & (amount - 1)) !== 0)) {
          fail(`.align ${amount}: not a power of two`)
        }
        const size =
          statement.kind === 'space' ? amount : statement.kind === 'org' ? amount - here : -here & (amount - 1)
        if (size < 0 && settled) fail(`.${statement.kind}: ${-size} bytes too many`)
        if (size > MAX_BYTES) fail(`.${statement.kind}: ${size} bytes is more than an image may have`)
        const fill =
          statement.fill === undefined ? (statement.kind === 'align' ? 0x90 : 0) : context.value(statement.fill)
        for (let i = 0; i < size; i++) out.push(fill & 0xff)
      }
    }
  }
}
