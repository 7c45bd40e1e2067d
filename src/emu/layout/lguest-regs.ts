/**
 * lguest_regs: what the Switcher pushes when a Guest exits and pops when it enters (asm/lguest.h; reference 2.1).
 * It is the last thing in a page, so the Switcher's pops end exactly where the CPU's IRET frame begins:
 *
 *      0xFB8 | ... general registers, gs, fs, ds, es   (Switcher, order by era)
 *      0xFE4 | trapnum                                 (IDT stub)
 *      0xFE8 | errcode                                 (CPU, or 0 by the stub)
 *      0xFEC | eip, cs, eflags, esp, ss                (CPU: the exit is always a change of ring)
 *
 * Era A (2007) begins with ebx and keeps eax between gs and fs; eras C and D begin with eax.
 */
import { struct, type ViewOf } from '../bits/struct.ts'

const TAIL = {
  fs: 'u32',
  ds: 'u32',
  es: 'u32',
  trapnum: 'u32',
  errcode: 'u32',
  eip: 'u32',
  cs: 'u32',
  eflags: 'u32',
  esp: 'u32',
  ss: 'u32',
} as const

/** Register order of eras C and D (2.6.24 to 4.13). */
export const LguestRegs = struct(
  'lguest_regs',
  { eax: 'u32', ebx: 'u32', ecx: 'u32', edx: 'u32', esi: 'u32', edi: 'u32', ebp: 'u32', gs: 'u32', ...TAIL },
  72,
)

/** Register order of era A, the seed's own. Same size, same tail. */
export const LguestRegsEraA = struct(
  'lguest_regs_era_a',
  {
    ebx: 'u32',
    ecx: 'u32',
    edx: 'u32',
    esi: 'u32',
    edi: 'u32',
    ebp: 'u32',
    gs: 'u32',
    eax: 'u32',
    ...TAIL,
  },
  72,
)

/** Both orders have the same field names, so a view of either serves where only names are used. */
export type LguestRegsView = ViewOf<typeof LguestRegs>

/** Trap number planted before each switch: no CPU raises it, so finding it means a fault inside the Switcher. */
export const TRAP_IN_SWITCHER = 256
