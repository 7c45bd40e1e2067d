/** Disassembly for the inspector, by iced-x86 (MIT, the field's reference decoder; we only format its output). */
import { Decoder, DecoderOptions, Formatter, FormatterSyntax } from 'iced-x86'
import type { DisassemblyLine } from '../shared/inspect.ts'
import type { SymbolTable } from './symbols.ts'

/** Up to `count` instructions of 32-bit code at linear `address`. Bytes that are no instruction show as "(bad)". */
export function disassemble(
  bytes: Uint8Array,
  address: number,
  count: number,
  symbols: SymbolTable | null,
): DisassemblyLine[] {
  const decoder = new Decoder(32, bytes, DecoderOptions.None)
  const formatter = new Formatter(FormatterSyntax.Intel)
  formatter.hexPrefix = '0x'
  formatter.hexSuffix = ''
  formatter.uppercaseHex = false
  formatter.spaceAfterOperandSeparator = true
  decoder.ip = BigInt(address)
  const lines: DisassemblyLine[] = []
  try {
    while (decoder.canDecode && lines.length < count) {
      const instruction = decoder.decode()
      const at = Number(instruction.ip) >>> 0
      const offset = (at - address) >>> 0
      const target = Number(instruction.nearBranchTarget)
      let text = formatter.format(instruction)
      const name = target !== 0 ? symbols?.describe(target) : null
      if (name) text += ` <${name}>`
      lines.push({
        address: at,
        bytes: hex(bytes.subarray(offset, offset + instruction.length)),
        text,
        symbol: symbols?.describe(at) ?? null,
      })
      instruction.free()
    }
  } finally {
    formatter.free()
    decoder.free()
  }
  return lines
}

function hex(bytes: Uint8Array): string {
  return [...bytes].map((b) => b.toString(16).padStart(2, '0')).join(' ')
}
