/** Descriptors and gates in words (manual 3A, chapters 3.4.5, 5.11 and 6.2). */

const SYSTEM_TYPES: Record<number, string> = {
  1: '16-bit TSS (available)',
  2: 'LDT',
  3: '16-bit TSS (busy)',
  4: '16-bit call gate',
  5: 'task gate',
  6: '16-bit interrupt gate',
  7: '16-bit trap gate',
  9: 'TSS (available)',
  11: 'TSS (busy)',
  12: 'call gate',
  14: 'interrupt gate',
  15: 'trap gate',
}
const GATES = new Set([4, 5, 6, 7, 12, 14, 15])

/** `attr` is bits 8-23 of a descriptor's second word, shifted down by 8: what a segment register's hidden part keeps. */
export function describeAttributes(attr: number): string {
  if ((attr & 0x80) === 0) return attr === 0 ? 'unusable' : 'not present'
  const dpl = `DPL ${(attr >>> 5) & 3}`
  if ((attr & 0x10) === 0) return `${SYSTEM_TYPES[attr & 15] ?? `system type ${attr & 15}`} ${dpl}`
  const code = (attr & 8) !== 0
  const second = (attr & 2) !== 0
  const rights = code ? `${second ? 'r' : '-'}-x` : `r${second ? 'w' : '-'}-`
  const way = (attr & 4) !== 0 ? (code ? ' conforming' : ' expand-down') : ''
  return `${code ? 'code' : 'data'} ${rights} ${(attr & 0x4000) !== 0 ? '32' : '16'}-bit ${dpl}${way}`
}

/** A GDT entry: "code r-x 32-bit DPL 1, base 0x0, limit 0xffffffff". */
export function describeDescriptor(low: number, high: number): string {
  if (low === 0 && high === 0) return 'empty'
  const base = ((low >>> 16) | ((high & 0xff) << 16) | (high & 0xff00_0000)) >>> 0
  const raw = (low & 0xffff) | (high & 0xf_0000)
  const limit = (high & 0x80_0000) !== 0 ? ((raw << 12) | 0xfff) >>> 0 : raw
  const attr = (high >>> 8) & 0xf0ff
  if ((attr & 0x10) === 0 && GATES.has(attr & 15)) return describeGate(low, high)
  return `${describeAttributes(attr)}, base 0x${base.toString(16)}, limit 0x${limit.toString(16)}`
}

/** An IDT entry: "interrupt gate DPL 0 to 0x50:0xffc00123". */
export function describeGate(low: number, high: number): string {
  if (low === 0 && high === 0) return 'empty'
  if ((high & 0x8000) === 0) return 'not present'
  const kind = SYSTEM_TYPES[(high >>> 8) & 15] ?? 'reserved type'
  const offset = ((low & 0xffff) | (high & 0xffff_0000)) >>> 0
  return `${kind} DPL ${(high >>> 13) & 3} to 0x${(low >>> 16).toString(16)}:0x${offset.toString(16)}`
}

/** Flags of a page-table or directory entry: "P RW US A D PS". */
export function describeEntry(value: number, directory: boolean): string {
  if ((value & 1) === 0) return value === 0 ? 'not present' : 'not present (marked by software)'
  const names: [number, string][] = [
    [0x001, 'P'],
    [0x002, 'RW'],
    [0x004, 'US'],
    [0x008, 'PWT'],
    [0x010, 'PCD'],
    [0x020, 'A'],
    [0x040, 'D'],
    [0x080, directory ? 'PS' : 'PAT'],
    [0x100, 'G'],
  ]
  return names
    .filter(([bit]) => (value & bit) !== 0)
    .map(([, name]) => name)
    .join(' ')
}
