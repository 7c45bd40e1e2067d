/** Control, debug and flag registers taken apart bit by bit (Intel manual vol. 3, 2.3, 2.5 and 17.2). */
import { t, type MessageKey } from '../i18n'
import { hex } from './format'

export interface RegisterBit {
  bit: number
  name: string
  meaning: string
  set: boolean
}

type BitTable = readonly [bit: number, name: string, meaning: MessageKey][]

const EFLAGS: BitTable = [
  [0, 'CF', 'bits.eflags.cf'],
  [2, 'PF', 'bits.eflags.pf'],
  [4, 'AF', 'bits.eflags.af'],
  [6, 'ZF', 'bits.eflags.zf'],
  [7, 'SF', 'bits.eflags.sf'],
  [8, 'TF', 'bits.eflags.tf'],
  [9, 'IF', 'bits.eflags.if'],
  [10, 'DF', 'bits.eflags.df'],
  [11, 'OF', 'bits.eflags.of'],
  [14, 'NT', 'bits.eflags.nt'],
  [16, 'RF', 'bits.eflags.rf'],
  [17, 'VM', 'bits.eflags.vm'],
  [18, 'AC', 'bits.eflags.ac'],
  [21, 'ID', 'bits.eflags.id'],
]
const CR0: BitTable = [
  [0, 'PE', 'bits.cr0.pe'],
  [1, 'MP', 'bits.cr0.mp'],
  [2, 'EM', 'bits.cr0.em'],
  [3, 'TS', 'bits.cr0.ts'],
  [4, 'ET', 'bits.cr0.et'],
  [5, 'NE', 'bits.cr0.ne'],
  [16, 'WP', 'bits.cr0.wp'],
  [18, 'AM', 'bits.cr0.am'],
  [29, 'NW', 'bits.cr0.nw'],
  [30, 'CD', 'bits.cr0.cd'],
  [31, 'PG', 'bits.cr0.pg'],
]
const CR3: BitTable = [
  [3, 'PWT', 'bits.cr3.pwt'],
  [4, 'PCD', 'bits.cr3.pcd'],
]
const CR4: BitTable = [
  [0, 'VME', 'bits.cr4.vme'],
  [1, 'PVI', 'bits.cr4.pvi'],
  [2, 'TSD', 'bits.cr4.tsd'],
  [3, 'DE', 'bits.cr4.de'],
  [4, 'PSE', 'bits.cr4.pse'],
  [5, 'PAE', 'bits.cr4.pae'],
  [6, 'MCE', 'bits.cr4.mce'],
  [7, 'PGE', 'bits.cr4.pge'],
  [8, 'PCE', 'bits.cr4.pce'],
  [9, 'OSFXSR', 'bits.cr4.osfxsr'],
  [10, 'OSXMM', 'bits.cr4.osxmm'],
]
const DR6: BitTable = [
  [0, 'B0', 'bits.dr6.b0'],
  [1, 'B1', 'bits.dr6.b1'],
  [2, 'B2', 'bits.dr6.b2'],
  [3, 'B3', 'bits.dr6.b3'],
  [13, 'BD', 'bits.dr6.bd'],
  [14, 'BS', 'bits.dr6.bs'],
  [15, 'BT', 'bits.dr6.bt'],
]
const DR7: BitTable = [
  [0, 'L0', 'bits.dr7.l0'],
  [1, 'G0', 'bits.dr7.g0'],
  [2, 'L1', 'bits.dr7.l1'],
  [3, 'G1', 'bits.dr7.g1'],
  [4, 'L2', 'bits.dr7.l2'],
  [5, 'G2', 'bits.dr7.g2'],
  [6, 'L3', 'bits.dr7.l3'],
  [7, 'G3', 'bits.dr7.g3'],
  [8, 'LE', 'bits.dr7.le'],
  [9, 'GE', 'bits.dr7.ge'],
  [13, 'GD', 'bits.dr7.gd'],
]
const TABLES = { eflags: EFLAGS, cr0: CR0, cr3: CR3, cr4: CR4, dr6: DR6, dr7: DR7 } as const

/** The defined bits of a register, lowest first. */
export function registerBits(register: keyof typeof TABLES, value: number): RegisterBit[] {
  return TABLES[register].map(([bit, name, meaning]) => ({
    bit,
    name,
    meaning: t(meaning),
    set: ((value >>> bit) & 1) === 1,
  }))
}

const CONDITIONS = ['execution', 'write', 'io', 'readWrite'] as const
const LENGTHS = [1, 2, 8, 4]

/** What DR7 makes of DR0-DR3: "stops at writes of 4 bytes at c0100000"; null for one that is off. */
export function debugCondition(dr: readonly number[], index: number): string | null {
  const dr7 = dr[7]
  if (((dr7 >>> (index * 2)) & 3) === 0) return null
  const condition = CONDITIONS[(dr7 >>> (16 + index * 4)) & 3]
  const n = LENGTHS[(dr7 >>> (18 + index * 4)) & 3]
  return t(`bits.condition.${condition}`, { n, address: hex(dr[index]) }, n)
}
