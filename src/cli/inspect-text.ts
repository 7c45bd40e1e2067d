/** A CPU's state as text, for `kennel inspect`. */
import { GPR_NAMES, type CpuSnapshot } from '../shared/inspect.ts'

const hex = (value: number): string => (value >>> 0).toString(16).padStart(8, '0')

const EFLAGS_BITS: readonly (readonly [string, number])[] = [
  ['OF', 11],
  ['DF', 10],
  ['IF', 9],
  ['TF', 8],
  ['SF', 7],
  ['ZF', 6],
  ['AF', 4],
  ['PF', 2],
  ['CF', 0],
]

export function describeCpu(cpu: CpuSnapshot): string {
  const lines = [`CPU ${cpu.cpu}: ${world(cpu)}${cpu.halted ? ', halted' : ''}`, '']
  const pair = (from: number): string =>
    GPR_NAMES.slice(from, from + 4)
      .map((name, i) => `${name} ${hex(cpu.gpr[from + i])}`)
      .join('  ')
  const flags = EFLAGS_BITS.filter(([, bit]) => (cpu.eflags >>> bit) & 1).map(([name]) => name)
  lines.push(pair(0), pair(4), `eip ${hex(cpu.eip)}  eflags ${hex(cpu.eflags)} ${flags.join(' ')}`)
  const { cr0, cr2, cr3, cr4 } = cpu.cr
  lines.push(`cr0 ${hex(cr0)}  cr2 ${hex(cr2)}  cr3 ${hex(cr3)}  cr4 ${hex(cr4)}`)
  lines.push(`gdtr ${hex(cpu.gdtr.base)} limit ${cpu.gdtr.limit.toString(16)}`)
  lines.push(`idtr ${hex(cpu.idtr.base)} limit ${cpu.idtr.limit.toString(16)}`, '')
  for (const { name, selector, base, limit, description } of cpu.segments) {
    lines.push(
      `${name.padEnd(4)} ${selector.toString(16).padStart(4, '0')}  base ${hex(base)}  limit ${hex(limit)}  ${description}`,
    )
  }
  const { lguest, counters } = cpu
  if (lguest !== null) {
    lines.push('', `lguest_pages ${hex(lguest.pagesLinear)} (${lguest.pagesPhysical.map(hex).join(', ')})`)
    lines.push(`regs page    ${hex(lguest.regsPage)}, PTE ${hex(lguest.regsPte)}`)
    lines.push(`host_cr3     ${hex(lguest.hostCr3)}`)
    lines.push(
      `last_guest   ${hex(lguest.lastGuestAddress)}${lguest.lastGuest === null ? '' : ` (${lguest.lastGuest})`}`,
    )
    lines.push(`last_pages   ${hex(lguest.lastPages)}, changed ${lguest.changed.bits.toString(16)}`)
    if (lguest.lastSwitch !== null) {
      const { trap, copied, avoidedBytes } = lguest.lastSwitch
      const what = (['idt', 'gdt', 'tls', 'regs'] as const).filter((each) => copied[each])
      lines.push(
        `last switch  trap ${trap}, copied ${what.length === 0 ? 'nothing' : what.join(', ')} (${copied.bytes} bytes), avoided ${avoidedBytes} bytes`,
      )
    }
  }
  lines.push(
    '',
    `${counters.worldSwitches} world switches, ${counters.elided} copied nothing, ${counters.copied.bytes} bytes copied`,
  )
  return lines.join('\n') + '\n'
}

function world({ world }: CpuSnapshot): string {
  return world.kind === 'host' ? `the host, ${world.where}` : `guest ${world.guestName}, ring ${world.ring}`
}
