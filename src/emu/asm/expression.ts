/**
 * Numeric expressions of the assembler: parsing to a small tree, and evaluation once the labels have addresses.
 *
 * Precedence from loose to tight: || && | ^ & == != < > <= >= << >> + - * / % and the unary - ~ !. Sums and products are
 * exact; bit operations work on 32 bits and give unsigned results, so 0xFFC00000 >> 22 is 1023. Comparisons give 1 or 0.
 * `$` or `.` alone is the address of the statement. A name that begins with a dot is a local label of the last ordinary one.
 */
import { AssemblyError, type Token } from './lexer.ts'

export type Expression =
  | { readonly op: 'number'; readonly value: number }
  | { readonly op: 'symbol'; readonly name: string }
  | { readonly op: 'here' }
  | { readonly op: 'unary'; readonly operator: string; readonly operand: Expression }
  | { readonly op: 'binary'; readonly operator: string; readonly left: Expression; readonly right: Expression }

/** A cursor over one statement's tokens; `scope` is the last ordinary label, which local names belong to. */
export class TokenStream {
  readonly tokens: readonly Token[]
  readonly line: number
  readonly scope: string
  at: number

  constructor(tokens: readonly Token[], line: number, scope: string) {
    this.tokens = tokens
    this.line = line
    this.scope = scope
    this.at = 0
  }

  peek(ahead = 0): Token | undefined {
    return this.tokens[this.at + ahead]
  }

  /** The lower-case text of the name at the cursor, or '' when something else stands there. */
  word(ahead = 0): string {
    const token = this.peek(ahead)
    return token?.kind === 'name' ? token.text.toLowerCase() : ''
  }

  /** True when the punctuation `text` stands `ahead` tokens from the cursor. */
  sees(text: string, ahead = 0): boolean {
    const token = this.peek(ahead)
    return token?.kind === 'punctuation' && token.text === text
  }

  /** Takes the punctuation `text` when it stands at the cursor. */
  take(text: string): boolean {
    if (!this.sees(text)) return false
    this.at++
    return true
  }

  expect(text: string): void {
    if (!this.take(text)) this.fail(`expected "${text}" before ${this.describe()}`)
  }

  describe(): string {
    const token = this.peek()
    return token === undefined ? 'the end of the line' : `"${token.text}"`
  }

  get done(): boolean {
    return this.at >= this.tokens.length
  }

  fail(problem: string): never {
    throw new AssemblyError(this.line, problem)
  }
}

/** Binary operators by rising precedence. */
const LEVELS: readonly (readonly string[])[] = [
  ['||'],
  ['&&'],
  ['|'],
  ['^'],
  ['&'],
  ['==', '!=', '<', '>', '<=', '>='],
  ['<<', '>>'],
  ['+', '-'],
  ['*', '/', '%'],
]
/** The level of * and /: what one term of a memory operand's sum may hold without parentheses. */
const TERM_LEVEL = LEVELS.length - 1

/** Parses an expression at the cursor. */
export function parseExpression(stream: TokenStream): Expression {
  return parseLevel(stream, 0)
}

/** Parses one term of a sum, as between the + and - of a memory operand. */
export function parseTerm(stream: TokenStream): Expression {
  return parseLevel(stream, TERM_LEVEL)
}

function parseLevel(stream: TokenStream, level: number): Expression {
  const operators = LEVELS[level]
  if (operators === undefined) return parseUnary(stream)
  let left = parseLevel(stream, level + 1)
  for (;;) {
    const token = stream.peek()
    if (token?.kind !== 'punctuation' || !operators.includes(token.text)) return left
    stream.at++
    left = { op: 'binary', operator: token.text, left, right: parseLevel(stream, level + 1) }
  }
}

function parseUnary(stream: TokenStream): Expression {
  for (const operator of ['-', '~', '!', '+']) {
    if (stream.take(operator)) return { op: 'unary', operator, operand: parseUnary(stream) }
  }
  if (stream.take('(')) {
    const inner = parseExpression(stream)
    stream.expect(')')
    return inner
  }
  const token = stream.peek()
  if (token?.kind === 'number') {
    stream.at++
    return { op: 'number', value: token.value }
  }
  if (token?.kind === 'name') {
    stream.at++
    if (token.text === '$' || token.text === '.') return { op: 'here' }
    return { op: 'symbol', name: qualify(token.text, stream.scope) }
  }
  return stream.fail(`expected a number, a name or "(" before ${stream.describe()}`)
}

/** The full name of a label: local ones (".loop") belong to the last ordinary label ("memcpy.loop"). */
export function qualify(name: string, scope: string): string {
  return name.startsWith('.') ? scope + name : name
}

/** True when the value does not depend on any address, so that it may choose between short and long encodings. */
export function isConstant(expression: Expression, isConstantName: (name: string) => boolean): boolean {
  if (expression.op === 'number') return true
  if (expression.op === 'symbol') return isConstantName(expression.name)
  if (expression.op === 'here') return false
  if (expression.op === 'unary') return isConstant(expression.operand, isConstantName)
  return isConstant(expression.left, isConstantName) && isConstant(expression.right, isConstantName)
}

/** The value of an expression; `lookup` throws for names nobody defined, `here` is the statement's address. */
export function evaluate(expression: Expression, lookup: (name: string) => number, here: number): number {
  switch (expression.op) {
    case 'number':
      return expression.value
    case 'symbol':
      return lookup(expression.name)
    case 'here':
      return here
    case 'unary': {
      const value = evaluate(expression.operand, lookup, here)
      if (expression.operator === '-') return -value
      if (expression.operator === '~') return ~value >>> 0
      return expression.operator === '!' ? Number(value === 0) : value
    }
    case 'binary':
      return combine(
        expression.operator,
        evaluate(expression.left, lookup, here),
        evaluate(expression.right, lookup, here),
      )
  }
}

function combine(operator: string, left: number, right: number): number {
  switch (operator) {
    case '||':
      return Number(left !== 0 || right !== 0)
    case '&&':
      return Number(left !== 0 && right !== 0)
    case '|':
      return (left | right) >>> 0
    case '^':
      return (left ^ right) >>> 0
    case '&':
      return (left & right) >>> 0
    case '==':
      return Number(left === right)
    case '!=':
      return Number(left !== right)
    case '<':
      return Number(left < right)
    case '>':
      return Number(left > right)
    case '<=':
      return Number(left <= right)
    case '>=':
      return Number(left >= right)
    case '<<':
      return (left << right) >>> 0
    case '>>':
      return left >>> right
    case '+':
      return left + right
    case '-':
      return left - right
    case '*':
      return left * right
    case '/':
      return Math.trunc(left / right)
    default:
      return left % right
  }
}
