/** Layout, directives, expressions and errors of the assembler; the encodings themselves are in instructions.spec.ts. */
import { describe, expect, it } from 'vitest'
import { assemble } from './assembler.ts'

function hex(source: string, origin = 0x1000, symbols: Readonly<Record<string, number>> = {}): string {
  return [...assemble(source, { origin, symbols }).bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('')
}

describe('labels', () => {
  it('are absolute, and local ones belong to the label before them', () => {
    const source = 'one: nop\n.loop: jmp .loop\ntwo: .loop: jmp .loop\n jmp one.loop'
    expect(assemble(source, { origin: 0x1000 }).labels).toEqual({
      one: 0x1000,
      'one.loop': 0x1001,
      two: 0x1003,
      'two.loop': 0x1003,
    })
    expect(hex(source)).toBe('90' + 'ebfe' + 'ebfe' + 'ebfa')
  })

  it('are immediates without brackets and addresses with them', () => {
    expect(hex('here: mov eax, here\n mov eax, [here]\n push offset here\n mov [here+ebx], al')).toBe(
      'b800100000' + 'a100100000' + '6800100000' + '888300100000',
    )
  })

  it('wrap around 4 GiB', () => {
    expect(hex('top: call 0x10', 0xffc00000)).toBe('e80b004000')
  })
})

describe('branches', () => {
  it('are short when they reach, up to the last byte', () => {
    expect(hex('jmp end\n.space 127\nend:').slice(0, 4)).toBe('eb7f')
    expect(hex('jmp end\n.space 128\nend:').slice(0, 10)).toBe('e980000000')
    expect(hex('start: .space 126\n jz start').slice(-4)).toBe('7480')
    expect(hex('start: .space 127\n jz start').slice(-12)).toBe('0f847bffffff')
  })

  it('push each other out of reach', () => {
    // The second jump grows only because the first did.
    const bytes = hex('jmp far_end\n back: jmp near_end\n .space 120\n jz back\n near_end: .space 10\n far_end:')
    expect(bytes.startsWith('e9')).toBe(true)
    expect(bytes.slice(10, 14)).toBe('eb7a')
  })

  it('obey short and near', () => {
    expect(hex('here: jmp near here')).toBe('e9fbffffff')
    expect(() => hex('jmp short end\n.space 200\nend:')).toThrow('line 1: branch target is 200 bytes away')
  })
})

describe('expressions', () => {
  it('know precedence, symbols with dots and characters', () => {
    expect(hex('mov eax, 1 + 2 * 3 | 0x10 << 1 & 0x60')).toBe('b827000000')
    expect(hex("cmp al, 'a' - 'A'")).toBe('3c20')
    expect(hex('mov eax, [ebx + pages.state.cr3]', 0, { 'pages.state.cr3': 0x90 })).toBe('8b8390000000')
    expect(hex('.equ SIZE, 3\nTWICE = SIZE * 2\n .byte TWICE, -1, (SIZE)')).toBe('06ff03')
    expect(hex('mov eax, 0xFFC00000 >> 22')).toBe('b8ff030000')
  })

  it('take a constant in short form and a label in long form', () => {
    expect(hex('a: add ebx, 5\n add ebx, a - a')).toBe('83c305' + '81c300000000')
  })

  it('understand $ and differences of labels', () => {
    expect(hex('.long $, $ - 4\nend: .long end - 8')).toBe('001000' + '00fc0f0000' + '00100000')
  })
})

describe('directives', () => {
  it('place data', () => {
    expect(hex('.byte 1, "hi", 0x80\n.word 0x1234, -2\n.long 0xdeadbeef\n.ascii "a\\n"\n.asciz "b"')).toBe(
      '0168698' + '0' + '3412feff' + 'efbeadde' + '610a' + '6200',
    )
  })

  it('align by address, not by offset', () => {
    expect(hex('.align 4\n.byte 1', 0x1002)).toBe('909001')
    expect(hex('.byte 1\n.align 4, 0\n.space 2, 7\n.org 0x1008\n.byte 2')).toBe('010000000707000002')
  })

  it('repeat with a counter, nested, and choose with .if', () => {
    expect(hex('.rept 3\n push \\i\n.endr')).toBe('6a006a016a02')
    expect(hex('.rept 2, a\n.rept 2, b\n.byte \\a * 16 + \\b\n.endr\n.endr')).toBe('00011011')
    expect(hex('.rept 3\n.if \\i == 1\n.byte 1\n.else\n.if \\i\n.byte 2\n.endif\n.endif\n.endr')).toBe('0102')
    expect(assemble('.rept 2\nstub_\\i: nop\n.endr', { origin: 0 }).labels).toEqual({ stub_0: 0, stub_1: 1 })
  })
})

describe('instructions beyond the GNU table', () => {
  it('has gate, far pointers and prefixes by name', () => {
    expect(hex('gate')).toBe('0f04')
    expect(hex('here: jmp 0x60:here\n call 0x50:here\n jmp far [ebx]')).toBe(
      'ea001000006000' + '9a001000005000' + 'ff2b',
    )
    expect(hex('es lodsb\n rep es movsb\n o16 nop')).toBe('26ac26f3a46690')
    expect(hex('mov byte [es:ebx], 1\n add dword [ebx], 5')).toBe('26c60301830305')
  })
})

describe('errors name the line and the problem', () => {
  it.each([
    ['nop\nmov [eax], 5', 'line 2: mov: say byte, word or dword'],
    ['movzx eax, [ebx]', 'line 1: movzx: say byte'],
    ['shl [eax], cl', 'line 1: shl: say byte'],
    ['mov eax, bl', 'line 1: mov does not take (32-bit register, 8-bit register)'],
    ['\n\nfrob eax', 'line 3: unknown instruction "frob"'],
    ['jmp nowhere', 'line 1: "nowhere" is not defined'],
    ['mov al, 300', 'line 1: 300 does not fit in 8 bits'],
    ['.byte 256', 'line 1: 256 does not fit in 8 bits'],
    ['a:\na:', 'line 2: "a" is defined twice'],
    ['eax: nop', 'line 1: "eax" is a register'],
    ['mov eax, [ebx+esp*2]', 'line 1: esp cannot be an index'],
    ['mov eax, [ebx*3]', 'line 1: a scale is 1, 2, 4 or 8, not 3'],
    ['mov eax, [bx+eax]', 'line 1: an address cannot mix'],
    ['mov eax, [ebx', 'line 1: expected "]" before the end of the line'],
    ['push eax ebx', 'line 1: unexpected "ebx"'],
    ['.rept 4\nnop', 'line 1: .rept without .endr'],
    ['.frob 4', 'line 1: unknown directive ".frob"'],
    ['.equ N, later\nlater:', 'line 1: "later" is not a constant known at this point'],
    ['loop end\n.space 200\nend:', 'line 1: branch target is 200 bytes away'],
    ['.ascii "abc', 'line 1: missing closing "'],
    ['.align 3', 'line 1: .align 3: not a power of two'],
    ['nop\n.org 0x1000', 'line 2: .org: 1 bytes too many'],
  ])('%j', (source, message) => {
    expect(() => hex(source)).toThrow(message)
  })
})
