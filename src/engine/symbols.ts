/**
 * Symbols of a guest for the inspector, from an ELF file's symbol table or a System.map ("c0100000 T name" a line).
 * Addresses are guest-virtual. Lookups are by binary search; a symbol reaches to the next one.
 */

export interface SymbolTable {
  readonly size: number
  /** "name+0x12", "name", or null below the first symbol or far beyond the last one. */
  describe(address: number): string | null
  addressOf(name: string): number | null
}

interface Entry {
  address: number
  name: string
}

/** A symbol is not believed further than this beyond its start. */
const MAX_DISTANCE = 0x10_0000

const SHT_SYMTAB = 2
const STT_NOTYPE = 0
const STT_OBJECT = 1
const STT_FUNC = 2

/** Reads either format; null when the bytes are neither or hold no symbols. */
export function readSymbols(bytes: Uint8Array): SymbolTable | null {
  const isElf = bytes.length > 52 && bytes[0] === 0x7f && bytes[1] === 0x45 && bytes[2] === 0x4c && bytes[3] === 0x46
  const entries = isElf ? elfSymbols(bytes) : systemMap(bytes)
  return entries.length > 0 ? symbolTable(entries) : null
}

export function symbolTable(entries: Entry[]): SymbolTable {
  const sorted = [...entries].sort((a, b) => a.address - b.address)
  const byName = new Map(sorted.map((e) => [e.name, e.address]))
  return {
    size: sorted.length,
    addressOf: (name) => byName.get(name) ?? null,
    describe(address) {
      let low = 0
      let high = sorted.length
      while (low < high) {
        const middle = (low + high) >>> 1
        if (sorted[middle].address <= address) low = middle + 1
        else high = middle
      }
      if (low === 0) return null
      const { address: start, name } = sorted[low - 1]
      const distance = address - start
      if (distance > MAX_DISTANCE) return null
      return distance === 0 ? name : `${name}+0x${distance.toString(16)}`
    },
  }
}

function systemMap(bytes: Uint8Array): Entry[] {
  const entries: Entry[] = []
  for (const line of new TextDecoder('latin1').decode(bytes).split('\n')) {
    const match = /^([0-9a-fA-F]{8,16}) ([a-zA-Z]) (\S+)/.exec(line)
    if (!match) continue
    const address = Number.parseInt(match[1], 16)
    if (match[2].toLowerCase() !== 'a' && address <= 0xffffffff) entries.push({ address, name: match[3] })
  }
  return entries
}

/** ELF32 little-endian .symtab; anything out of range is skipped, because the file is the user's. */
function elfSymbols(bytes: Uint8Array): Entry[] {
  if (bytes[4] !== 1 || bytes[5] !== 1) return []
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const sectionTable = view.getUint32(32, true)
  const sectionSize = view.getUint16(46, true)
  const sectionCount = view.getUint16(48, true)
  const entries: Entry[] = []
  const section = (index: number): { type: number; offset: number; size: number; link: number } | null => {
    const at = sectionTable + index * sectionSize
    if (index >= sectionCount || sectionSize < 40 || at + 40 > bytes.length) return null
    return {
      type: view.getUint32(at + 4, true),
      offset: view.getUint32(at + 16, true),
      size: view.getUint32(at + 20, true),
      link: view.getUint32(at + 24, true),
    }
  }
  for (let i = 0; i < sectionCount; i++) {
    const symbols = section(i)
    if (symbols?.type !== SHT_SYMTAB) continue
    const strings = section(symbols.link)
    if (!strings || symbols.offset + symbols.size > bytes.length) continue
    for (let at = symbols.offset; at + 16 <= symbols.offset + symbols.size; at += 16) {
      const type = bytes[at + 12] & 0xf
      const name = cString(bytes, strings.offset + view.getUint32(at, true))
      if (name === '' || (type !== STT_NOTYPE && type !== STT_OBJECT && type !== STT_FUNC)) continue
      if (view.getUint16(at + 14, true) === 0) continue // undefined
      entries.push({ address: view.getUint32(at + 4, true), name })
    }
  }
  return entries
}

function cString(bytes: Uint8Array, at: number): string {
  let end = at
  while (end < bytes.length && bytes[end] !== 0) end++
  return at < bytes.length ? new TextDecoder('latin1').decode(bytes.subarray(at, end)) : ''
}
