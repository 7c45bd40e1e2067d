/** A guest-virtual address through both tables: the guest's own, which no CPU ever sees, and the shadow, which the CPU uses. */
import type { Guest } from '../../emu/lguest/guest.ts'
import type { PageWalk, WalkStep } from '../../shared/inspect.ts'
import { describeEntry } from './descriptors.ts'
import { guestOf, peekGuestWord } from './memory-spaces.ts'
import type { InspectionTarget } from './target.ts'

type Walk = PageWalk['guest']

export function pageWalk(target: InspectionTarget, guestId: string, address: number): PageWalk {
  const guest = guestOf(target, guestId)
  const { s } = guest
  const { gpgdir, pgdir } = s.pgdirs.at(s.pgdidx)
  const shadow = walk(pgdir, address, (at) => guest.hv.mem.read32(at) >>> 0)
  return { address, shadow, guest: guestWalk(guest, gpgdir, address) }
}

function guestWalk(guest: Guest, gpgdir: number, address: number): Walk {
  if (guest.s.linear_pages !== 0) {
    return {
      cr3: 0,
      steps: [],
      result: address,
      note: 'The guest has no page tables yet: virtual addresses are physical ones.',
    }
  }
  return walk(gpgdir, address, (gpa) => peekGuestWord(guest, gpa))
}

/** `read` gives an entry, or -1 when its table is not in memory. */
function walk(cr3: number, address: number, read: (at: number) => number): Walk {
  const steps: WalkStep[] = []
  const end = (note: string): Walk => ({ cr3, steps, result: null, note })
  const step = (level: WalkStep['level'], table: number, index: number): number => {
    const entryAddress = (table + index * 4) >>> 0
    const value = read(entryAddress)
    if (value >= 0) steps.push({ level, entryAddress, index, value, flags: describeEntry(value, level === 'PGD') })
    return value
  }
  if (cr3 === 0) return end('There is no page directory.')
  const pde = step('PGD', (cr3 & 0xffff_f000) >>> 0, address >>> 22)
  if (pde < 0) return end('The page directory is outside the memory.')
  if ((pde & 1) === 0) return end('The directory entry is not present.')
  if ((pde & 0x80) !== 0) {
    return { cr3, steps, result: ((pde & 0xffc0_0000) >>> 0) + (address & 0x3f_ffff), note: 'A page of 4 MiB.' }
  }
  const pte = step('PTE', (pde & 0xffff_f000) >>> 0, (address >>> 12) & 0x3ff)
  if (pte < 0) return end('The page table is outside the memory.')
  if ((pte & 1) === 0) return end('The page table entry is not present.')
  return { cr3, steps, result: ((pte & 0xffff_f000) >>> 0) + (address & 0xfff), note: '' }
}
