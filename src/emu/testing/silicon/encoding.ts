/**
 * The shape of each opcode: whether a ModRM follows, which immediate, how wide its memory operand is. Written from the opcode maps
 * of the Intel manual (volume 2, appendix A) and on purpose not taken from the CPU's own opcode table: a wrong length there must
 * not repeat itself in the test. Opcodes are 0x00-0xFF, two-byte ones 0x0F00-0x0FFF.
 */

export type Immediate = 'none' | 'ib' | 'iw' | 'iv' | 'iw ib' | 'moffs' | 'far' | 'rel8' | 'relv'

const ONE_BYTE_IMMEDIATES: readonly (readonly [Immediate, readonly number[]])[] = [
  ['ib', [0x6a, 0x6b, 0x80, 0x82, 0x83, 0xa8, 0xc0, 0xc1, 0xc6, 0xcd, 0xd4, 0xd5, 0xe4, 0xe5, 0xe6, 0xe7]],
  ['iw', [0xc2, 0xca]],
  ['iv', [0x68, 0x69, 0x81, 0xa9, 0xc7]],
  ['iw ib', [0xc8]],
  ['moffs', [0xa0, 0xa1, 0xa2, 0xa3]],
  ['far', [0x9a, 0xea]],
  ['rel8', [0xe0, 0xe1, 0xe2, 0xe3, 0xeb]],
  ['relv', [0xe8, 0xe9]],
]

function inRange(value: number, low: number, high: number): boolean {
  return value >= low && value <= high
}

export function hasModrm(opcode: number): boolean {
  const byte = opcode & 0xff
  if (opcode < 0x100) {
    if (byte < 0x40) return (byte & 7) < 4
    if (inRange(byte, 0x80, 0x8f) || inRange(byte, 0xd0, 0xd3) || inRange(byte, 0xd8, 0xdf)) return true
    return [0x62, 0x63, 0x69, 0x6b, 0xc0, 0xc1, 0xc4, 0xc5, 0xc6, 0xc7, 0xf6, 0xf7, 0xfe, 0xff].includes(byte)
  }
  if (inRange(byte, 0x80, 0x8f) || inRange(byte, 0xc8, 0xcf) || inRange(byte, 0x30, 0x3f)) return false
  return ![0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0e, 0x77, 0xa0, 0xa1, 0xa2, 0xa8, 0xa9, 0xaa].includes(
    byte,
  )
}

export function immediateOf(opcode: number, digit: number): Immediate {
  const byte = opcode & 0xff
  if (opcode >= 0x100) {
    if (inRange(byte, 0x80, 0x8f)) return 'relv'
    return [0xa4, 0xac, 0xba].includes(byte) ? 'ib' : 'none'
  }
  if (byte < 0x40) return (byte & 7) === 4 ? 'ib' : (byte & 7) === 5 ? 'iv' : 'none'
  if (inRange(byte, 0x70, 0x7f)) return 'rel8'
  if (inRange(byte, 0xb0, 0xb7)) return 'ib'
  if (inRange(byte, 0xb8, 0xbf)) return 'iv'
  if (byte === 0xf6 || byte === 0xf7) return digit > 1 ? 'none' : byte === 0xf6 ? 'ib' : 'iv'
  return ONE_BYTE_IMMEDIATES.find(([, bytes]) => bytes.includes(byte))?.[0] ?? 'none'
}

/** True when the operand is a byte whatever the operand size. */
export function isByteForm(opcode: number): boolean {
  const byte = opcode & 0xff
  if (opcode >= 0x100) return inRange(byte, 0x90, 0x9f) || [0xb0, 0xb6, 0xbe, 0xc0].includes(byte)
  if (byte < 0x40) return (byte & 1) === 0 && (byte & 7) < 5
  if (inRange(byte, 0xb0, 0xb7)) return true
  return [
    0x6c, 0x6e, 0x80, 0x82, 0x84, 0x86, 0x88, 0x8a, 0xa0, 0xa2, 0xa4, 0xa6, 0xa8, 0xaa, 0xac, 0xae, 0xc0, 0xc6, 0xd0,
    0xd2, 0xd7, 0xf6, 0xfe,
  ].includes(byte)
}

/** Bytes the memory operand of a ModRM or moffs form occupies. */
export function operandBytes(opcode: number, digit: number, operandSize: 16 | 32): number {
  if (isByteForm(opcode)) return 1
  const size = operandSize / 8
  switch (opcode) {
    case 0x62:
      return 2 * size
    case 0xc4:
    case 0xc5:
    case 0x0fb2:
    case 0x0fb4:
    case 0x0fb5:
      return size + 2
    case 0xff:
      return digit === 3 || digit === 5 ? size + 2 : size
    case 0x0fc7:
      return 8
    case 0x63:
    case 0x8c:
    case 0x8e:
    case 0x0f00:
    case 0x0f02:
    case 0x0f03:
    case 0x0fb7:
    case 0x0fbf:
      return 2
    case 0x0f01:
      return digit < 4 ? 6 : 2
    default:
      return size
  }
}

/** String instructions: movs cmps stos lods scas, ins outs. */
export function isString(opcode: number): boolean {
  return inRange(opcode, 0x6c, 0x6f) || inRange(opcode, 0xa4, 0xa7) || inRange(opcode, 0xaa, 0xaf)
}
