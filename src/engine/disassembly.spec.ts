import { describe, expect, it } from 'vitest'
import { disassemble } from './disassembly.ts'
import { symbolTable } from './symbols.ts'

describe('disassemble', () => {
  it('shows address, bytes, text and symbols', () => {
    const symbols = symbolTable([
      { address: 0xc0100000, name: 'entry' },
      { address: 0xc0100009, name: 'next' },
    ])
    const code = new Uint8Array([0x55, 0x89, 0xe5, 0xcd, 0x1f, 0xe8, 0, 0, 0, 0])
    const lines = disassemble(code, 0xc0100000, 10, symbols)
    expect(lines.map((l) => l.text)).toEqual(['push ebp', 'mov ebp, esp', 'int 0x1f', 'call 0xc010000a <next+0x1>'])
    expect(lines[1]).toMatchObject({ address: 0xc0100001, bytes: '89 e5', symbol: 'entry+0x1' })
  })

  it('stops at the count and survives nonsense', () => {
    expect(disassemble(new Uint8Array(64).fill(0x90), 0, 3, null)).toHaveLength(3)
    expect(disassemble(new Uint8Array([0x0f, 0xff]), 0, 3, null).length).toBeGreaterThan(0)
  })
})
