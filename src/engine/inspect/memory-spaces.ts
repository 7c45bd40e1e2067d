/** Memory as each of four address spaces shows it. Pages that are not there read as zeros and are marked; nothing is made or killed. */
import { S_CR3, S_CR4 } from '../../emu/layout/cpu-state.ts'
import { PAGE_SIZE } from '../../emu/layout/x86.ts'
import type { Guest } from '../../emu/lguest/guest.ts'
import { peekTranslate } from '../../emu/mmu/walk.ts'
import type { MemoryChunk, MemorySpace } from '../../shared/inspect.ts'
import { EngineError } from '../errors.ts'
import type { InspectionTarget } from './target.ts'

/** hpa of a byte of a space, or -1 when nothing is there. */
export function resolveAddress(target: InspectionTarget, space: MemorySpace, address: number): number {
  const { machine } = target
  switch (space.kind) {
    case 'hostPhysical':
      return address < machine.phys.size ? address : -1
    case 'cpuVirtual': {
      const cpu = machine.cpus[space.cpu]
      if (cpu === undefined) throw new EngineError('notFound', `The host has no CPU ${space.cpu}.`)
      return inRam(target, peekTranslate(machine.mem, cpu.st[S_CR3], cpu.st[S_CR4], address))
    }
    case 'guestPhysical':
      return guestPhysical(guestOf(target, space.guestId), address)
    case 'guestVirtual': {
      const guest = guestOf(target, space.guestId)
      const gpa = peekGuestVirtual(guest, address)
      return gpa < 0 ? -1 : guestPhysical(guest, gpa)
    }
  }
}

export function readSpace(
  target: InspectionTarget,
  space: MemorySpace,
  address: number,
  length: number,
): { bytes: Uint8Array; mapped: boolean[] } {
  const bytes = new Uint8Array(length)
  const mapped: boolean[] = []
  const virtual = space.kind === 'cpuVirtual' || space.kind === 'guestVirtual'
  for (let done = 0; done < length;) {
    // Virtual addresses go round at 4 GiB; of physical ones there are no more.
    const at = virtual ? (address + done) % 0x1_0000_0000 : address + done
    const part = Math.min(length - done, PAGE_SIZE - (at % PAGE_SIZE))
    const hpa = resolveAddress(target, space, at)
    mapped.push(hpa >= 0)
    if (hpa >= 0) bytes.set(target.machine.phys.readBytes(hpa, part), done)
    done += part
  }
  return { bytes, mapped }
}

export function memoryChunk(
  target: InspectionTarget,
  space: MemorySpace,
  address: number,
  length: number,
): MemoryChunk {
  const { bytes, mapped } = readSpace(target, space, address, length)
  let binary = ''
  for (const byte of bytes) binary += String.fromCharCode(byte)
  return { address, bytes: btoa(binary), mapped }
}

export function guestOf(target: InspectionTarget, guestId: string): Guest {
  const guest = target.guest(guestId)
  if (guest === null) throw new EngineError('badState', 'That guest is not running, so it has no memory to look at.')
  return guest
}

/** hpa behind a gpa, or -1. */
export function guestPhysical(guest: Guest, gpa: number): number {
  const { s, hv } = guest
  if (gpa >= s.pfn_limit * PAGE_SIZE) return -1
  const page = hv.host.peekUserPage(s.mm, s.mem_base + gpa - (gpa % PAGE_SIZE))
  return page === 0 ? -1 : page + (gpa % PAGE_SIZE)
}

/** A word of guest-physical memory, or -1 when its page is not there. */
export function peekGuestWord(guest: Guest, gpa: number): number {
  const hpa = guestPhysical(guest, gpa)
  return hpa < 0 ? -1 : guest.hv.mem.read32(hpa) >>> 0
}

/** gpa behind a gva through the guest's own tables, or -1. */
export function peekGuestVirtual(guest: Guest, gva: number): number {
  const { s } = guest
  if (s.linear_pages !== 0) return gva
  const pde = peekGuestWord(guest, s.pgdirs.at(s.pgdidx).gpgdir + (gva >>> 22) * 4)
  if (pde < 0 || (pde & 1) === 0) return -1
  const pte = peekGuestWord(guest, ((pde & 0xffff_f000) >>> 0) + ((gva >>> 12) & 0x3ff) * 4)
  if (pte < 0 || (pte & 1) === 0) return -1
  return ((pte & 0xffff_f000) >>> 0) + (gva & 0xfff)
}

function inRam(target: InspectionTarget, hpa: number): number {
  return hpa >= 0 && hpa < target.machine.phys.size ? hpa : -1
}
