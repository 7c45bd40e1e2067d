/** Numbers as the inspector writes them. */
import { number, t, type MessageKey } from '../i18n'

export const hex = (n: number, digits = 8): string => (n >>> 0).toString(16).padStart(digits, '0')
export const hex0x = (n: number): string => `0x${(n >>> 0).toString(16)}`

/** 12345678 → "12.3 M": the prefixes are those of SI, in every language. */
export function rate(n: number): string {
  if (n >= 1e9) return `${number(n / 1e9, 'tenths')} G`
  if (n >= 1e6) return `${number(n / 1e6, 'tenths')} M`
  if (n >= 1e4) return `${number(n / 1e3, 'tenths')} k`
  return number(n, n < 10 && n % 1 !== 0 ? 'tenths' : 'whole')
}

const FLAGS: [number, string][] = [
  [0, 'CF'],
  [2, 'PF'],
  [4, 'AF'],
  [6, 'ZF'],
  [7, 'SF'],
  [8, 'TF'],
  [9, 'IF'],
  [10, 'DF'],
  [11, 'OF'],
  [14, 'NT'],
  [16, 'RF'],
  [17, 'VM'],
  [18, 'AC'],
  [21, 'ID'],
]
const CR0: [number, string][] = [
  [0, 'PE'],
  [1, 'MP'],
  [2, 'EM'],
  [3, 'TS'],
  [4, 'ET'],
  [5, 'NE'],
  [16, 'WP'],
  [18, 'AM'],
  [29, 'NW'],
  [30, 'CD'],
  [31, 'PG'],
]
const CR4: [number, string][] = [
  [2, 'TSD'],
  [3, 'DE'],
  [4, 'PSE'],
  [5, 'PAE'],
  [7, 'PGE'],
  [9, 'OSFXSR'],
]

const names = (value: number, bits: [number, string][]): string =>
  bits
    .filter(([bit]) => (value >>> bit) & 1)
    .map(([, name]) => name)
    .join(' ')

export function describeEflags(eflags: number): string {
  const iopl = (eflags >>> 12) & 3
  return [names(eflags, FLAGS), iopl > 0 ? `IOPL=${iopl}` : ''].filter(Boolean).join(' ')
}
export const describeCr0 = (value: number): string => names(value, CR0)
export const describeCr4 = (value: number): string => names(value, CR4)

/** What made a guest exit, by trap number (reference 3.1; manual 3A, table 6-1). */
export function trapName(trap: number): string {
  const known: Record<number, MessageKey> = {
    0: 'traps.divideError',
    1: 'traps.debug',
    2: 'traps.nmi',
    3: 'traps.breakpoint',
    4: 'traps.overflow',
    5: 'traps.bound',
    6: 'traps.invalidOpcode',
    7: 'traps.noFpu',
    8: 'traps.doubleFault',
    10: 'traps.invalidTss',
    11: 'traps.notPresent',
    12: 'traps.stackFault',
    13: 'traps.protection',
    14: 'traps.pageFault',
    16: 'traps.fpuError',
    17: 'traps.alignment',
    31: 'traps.hypercall',
    128: 'traps.systemCall',
    // The host's own interrupts (src/emu/host: TIMER_VECTOR, RESCHEDULE_VECTOR).
    239: 'traps.timer',
    253: 'traps.reschedule',
    256: 'traps.switcherFault',
  }
  const key = known[trap]
  if (key) return t(key)
  return trap >= 32 ? t('traps.interrupt', { trap }) : t('traps.other', { trap })
}

/** Parses what a person types for an address: hex with or without 0x. Null when it is not one. */
export function parseAddress(text: string): number | null {
  const match = /^\s*(?:0x)?([0-9a-f]{1,8})\s*$/i.exec(text)
  return match ? Number.parseInt(match[1], 16) : null
}
