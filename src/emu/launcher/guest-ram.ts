/**
 * Guest-physical memory as a launcher sees it: its own memory from GUEST_BASE on. Devices get at it through GuestRam; addresses are gpa and
 * have been checked against `size` before (virtqueue.ts). UserMemory is the same for the launcher's private part.
 *
 * Pages come into being when they are touched, and stay until the launcher exits, so a page's place in host RAM is looked up once.
 */
import type { ByteMemory } from '../bits/struct.ts'
import type { PhysMemory } from '../layout/memory.ts'
import { PAGE_SIZE } from '../layout/x86.ts'
import { GuestError, hex } from './errors.ts'

export interface GuestRam extends ByteMemory {
  /** Bytes of guest-physical memory, device page and rings included. */
  readonly size: number
  readBytes(gpa: number, length: number): Uint8Array
  writeBytes(gpa: number, bytes: Uint8Array): void
}

/** hpa of the page of the launcher's memory with `hva`, allocated if need be; 0 when host memory is out. No reference stays. */
export type PageLookup = (hva: number) => number

/** [base, base + size) of a launcher's address space; addresses count from base. */
export class UserMemory implements GuestRam {
  readonly size: number
  private readonly phys: PhysMemory
  private readonly lookup: PageLookup
  private readonly base: number
  /** hpa by page number: a cache. */
  private readonly pages: Map<number, number>

  constructor(phys: PhysMemory, lookup: PageLookup, base: number, size: number) {
    this.phys = phys
    this.lookup = lookup
    this.base = base
    this.size = size
    this.pages = new Map()
  }

  private hpa(address: number): number {
    const page = address >>> 12
    let hpa = this.pages.get(page)
    if (hpa === undefined) {
      if (address < 0 || address >= this.size) throw new GuestError(`access to ${hex(address)}, outside its memory`)
      hpa = this.lookup(this.base + page * PAGE_SIZE)
      if (hpa === 0) throw new GuestError('the host has no memory left for it')
      this.pages.set(page, hpa)
    }
    return hpa + (address & (PAGE_SIZE - 1))
  }

  read8(address: number): number {
    return this.phys.read8(this.hpa(address))
  }

  read16(address: number): number {
    if ((address & 0xfff) === 0xfff) return this.read8(address) | (this.read8(address + 1) << 8)
    return this.phys.read16(this.hpa(address))
  }

  read32(address: number): number {
    if ((address & 0xfff) > 0xffc) return this.read16(address) | (this.read16(address + 2) << 16)
    return this.phys.read32(this.hpa(address))
  }

  write8(address: number, value: number): void {
    this.phys.write8(this.hpa(address), value)
  }

  write16(address: number, value: number): void {
    if ((address & 0xfff) === 0xfff) {
      this.write8(address, value & 0xff)
      this.write8(address + 1, (value >>> 8) & 0xff)
    } else this.phys.write16(this.hpa(address), value)
  }

  write32(address: number, value: number): void {
    if ((address & 0xfff) > 0xffc) {
      this.write16(address, value & 0xffff)
      this.write16(address + 2, value >>> 16)
    } else this.phys.write32(this.hpa(address), value)
  }

  readBytes(address: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length)
    for (let done = 0; done < length;) {
      const part = Math.min(length - done, PAGE_SIZE - ((address + done) & 0xfff))
      bytes.set(this.phys.readBytes(this.hpa(address + done), part), done)
      done += part
    }
    return bytes
  }

  writeBytes(address: number, bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length;) {
      const part = Math.min(bytes.length - done, PAGE_SIZE - ((address + done) & 0xfff))
      this.phys.writeBytes(this.hpa(address + done), bytes.subarray(done, done + part))
      done += part
    }
  }
}

/** The bytes from `gpa` to the next NUL, at most `most` and never beyond the memory. */
export function readString(ram: GuestRam, gpa: number, most: number): Uint8Array {
  const bytes: number[] = []
  for (let at = gpa; at < ram.size && bytes.length < most; at++) {
    const byte = ram.read8(at)
    if (byte === 0) break
    bytes.push(byte)
  }
  return Uint8Array.from(bytes)
}
