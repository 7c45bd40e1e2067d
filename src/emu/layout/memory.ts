/**
 * The machine's one shared memory, and how it is divided:
 *
 *      0          | CPU state blocks, one 4 KiB page each                       |
 *      64 KiB     | CPU 0: TLB tables, six of 4 MiB (see TLB_*) | CPU 1 ...     |
 *      ramBase    | host-physical RAM, address hpa is at ramBase + hpa          |
 *
 * The memory is created at full size and never grows; the operating system commits pages when they are first touched.
 * MachineMemory has the typed arrays over it; PhysMemory reads and writes host-physical RAM and tells the decode cache
 * when a page with decoded code is written.
 */
import { assert } from '../bits/assert.ts'
import type { ByteMemory } from '../bits/struct.ts'
import type { CpuState } from './cpu-state.ts'
import { PAGE_SIZE } from './x86.ts'

/**
 * One-load TLB tables (docs: one i32 a linear page). Entry = (address of the page in the machine's memory - linear
 * page address), low 12 bits zero, when the access may go straight to RAM; otherwise the low four bits are all set.
 * Access of n bytes at a:  e = T[a >>> 12];  if ((e | a) & (n - 1)) slow path;  else load(e + a).
 */
export const TLB_READ_SUPERVISOR = 0
export const TLB_WRITE_SUPERVISOR = 1
export const TLB_EXEC_SUPERVISOR = 2
export const TLB_READ_USER = 3
export const TLB_WRITE_USER = 4
export const TLB_EXEC_USER = 5
export const TLB_TABLES = 6
export const TLB_ENTRIES = 1 << 20
/** The value of an entry that must take the slow path. */
export const TLB_SLOW = 0xf

const STATE_AREA = 0x1_0000
const TLB_AREA = TLB_TABLES * TLB_ENTRIES * 4

export const MIB = 1024 * 1024
export const MAX_CPUS = 8

export class MachineMemory {
  readonly cpus: number
  /** Size of host-physical RAM in bytes, a multiple of 4 MiB. */
  readonly ramSize: number
  /** Where host-physical address 0 is in `buffer`. */
  readonly ramBase: number
  readonly buffer: ArrayBufferLike
  readonly i32: Int32Array
  readonly u16: Uint16Array
  readonly u8: Uint8Array
  /** All of the memory, addressed by byte offset. */
  readonly raw: ByteMemory
  /** Host-physical RAM, addressed by hpa. */
  readonly phys: PhysMemory
  /** The CPUs' windows on this memory, by number; each enters itself. */
  readonly cpuStates: CpuState[] = []
  /** Numbers handed out as CpuState.fetchGeneration: never the same for two CPUs or two times. */
  fetchGenerations = 0

  constructor(options: { cpus: number; ramSize: number }) {
    const { cpus, ramSize } = options
    assert(cpus >= 1 && cpus <= MAX_CPUS, `a machine has 1 to ${MAX_CPUS} CPUs, not ${cpus}`)
    assert(ramSize > 0 && ramSize % (4 * MIB) === 0, `RAM size ${ramSize} is not a multiple of 4 MiB`)
    this.cpus = cpus
    this.ramSize = ramSize
    this.ramBase = STATE_AREA + cpus * TLB_AREA
    const pages = (this.ramBase + ramSize) / 0x1_0000
    this.buffer = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true }).buffer
    this.i32 = new Int32Array(this.buffer)
    this.u16 = new Uint16Array(this.buffer)
    this.u8 = new Uint8Array(this.buffer)
    this.raw = new RawMemory(this, 0, this.ramBase + ramSize)
    this.phys = new PhysMemory(this)
    for (let cpu = 0; cpu < cpus; cpu++) {
      for (let table = 0; table < TLB_TABLES; table++) this.tlb(cpu, table).fill(TLB_SLOW)
    }
  }

  /** Byte offset of a CPU's state block. */
  stateAddress(cpu: number): number {
    return cpu * PAGE_SIZE
  }

  /** Byte offset of a TLB table (TLB_*) of a CPU. */
  tlbAddress(cpu: number, table: number): number {
    return STATE_AREA + cpu * TLB_AREA + table * TLB_ENTRIES * 4
  }

  /** A TLB table of a CPU. */
  tlb(cpu: number, table: number): Int32Array {
    return new Int32Array(this.buffer, this.tlbAddress(cpu, table), TLB_ENTRIES)
  }
}

/** Byte-addressed window on the machine's memory, for struct views. */
class RawMemory implements ByteMemory {
  readonly base: number
  readonly size: number
  protected readonly i32: Int32Array
  protected readonly u16: Uint16Array
  protected readonly u8: Uint8Array

  constructor(mem: MachineMemory, base: number, size: number) {
    this.base = base
    this.size = size
    this.i32 = mem.i32
    this.u16 = mem.u16
    this.u8 = mem.u8
  }

  protected check(address: number, length: number): void {
    // The text is built only when it is needed: this runs on every access.
    if (!(address >= 0 && address + length <= this.size))
      assert(false, `address 0x${address.toString(16)} is outside RAM`)
  }

  read8(address: number): number {
    this.check(address, 1)
    return this.u8[this.base + address]
  }

  read16(address: number): number {
    this.check(address, 2)
    const a = this.base + address
    return a & 1 ? this.u8[a] | (this.u8[a + 1] << 8) : this.u16[a >>> 1]
  }

  /** Signed; struct views make u32 fields unsigned. */
  read32(address: number): number {
    this.check(address, 4)
    const a = this.base + address
    if ((a & 3) === 0) return this.i32[a >>> 2]
    return this.u8[a] | (this.u8[a + 1] << 8) | (this.u8[a + 2] << 16) | (this.u8[a + 3] << 24)
  }

  write8(address: number, value: number): void {
    this.check(address, 1)
    this.u8[this.base + address] = value
  }

  write16(address: number, value: number): void {
    this.check(address, 2)
    const a = this.base + address
    this.u8[a] = value
    this.u8[a + 1] = value >>> 8
  }

  write32(address: number, value: number): void {
    this.check(address, 4)
    const a = this.base + address
    if ((a & 3) === 0) {
      this.i32[a >>> 2] = value
    } else {
      this.u8[a] = value
      this.u8[a + 1] = value >>> 8
      this.u8[a + 2] = value >>> 16
      this.u8[a + 3] = value >>> 24
    }
  }
}

/** Host-physical RAM. Addresses outside it are a broken invariant: callers check what comes from a guest. */
export class PhysMemory extends RawMemory {
  /** One byte a page: not 0 while some CPU holds decoded (or translated) code of the page. */
  readonly codePages: Uint8Array
  /** One byte a page: not 0 while a debugger watches some of it; null when nothing is watched. Set by mmu/tlb's watchPhysical. */
  watched: Uint8Array | null = null
  /** A CPU has accessed (is about to write) `size` bytes at hpa in a watched page. */
  onWatched: (cpu: CpuState, hpa: number, size: number, write: boolean) => void = () => {}
  /** Called when a byte in a page with decoded code has changed; set by the CPUs' code cache. */
  onCodeWrite: (hpa: number) => void = () => {}
  /** Called when any part of a page with decoded code may have changed. */
  onCodePageWrite: (hpa: number) => void = () => {}

  constructor(mem: MachineMemory) {
    super(mem, mem.ramBase, mem.ramSize)
    this.codePages = new Uint8Array(mem.ramSize / PAGE_SIZE)
  }

  private touched(hpa: number, length: number): void {
    if (this.codePages[hpa >>> 12] !== 0) this.onCodeWrite(hpa)
    if (this.codePages[(hpa + length - 1) >>> 12] !== 0) this.onCodeWrite(hpa + length - 1)
  }

  private touchedPages(hpa: number, length: number): void {
    for (let page = hpa >>> 12; page * PAGE_SIZE < hpa + length; page++) {
      if (this.codePages[page] !== 0) this.onCodePageWrite(page * PAGE_SIZE)
    }
  }

  override write8(hpa: number, value: number): void {
    super.write8(hpa, value)
    this.touched(hpa, 1)
  }

  override write16(hpa: number, value: number): void {
    super.write16(hpa, value)
    this.touched(hpa, 2)
  }

  override write32(hpa: number, value: number): void {
    super.write32(hpa, value)
    this.touched(hpa, 4)
  }

  /** Atomically: when the aligned word at hpa is `expected`, makes it `value`. Returns what it was, signed. For the Host's locks. */
  compareExchange32(hpa: number, expected: number, value: number): number {
    this.check(hpa, 4)
    const was = Atomics.compareExchange(this.i32, (this.base + hpa) >>> 2, expected, value)
    if (was === expected) this.touched(hpa, 4)
    return was
  }

  /** A copy of `length` bytes at hpa. */
  readBytes(hpa: number, length: number): Uint8Array {
    this.check(hpa, length)
    return this.u8.slice(this.base + hpa, this.base + hpa + length)
  }

  writeBytes(hpa: number, bytes: Uint8Array): void {
    this.check(hpa, bytes.length)
    this.u8.set(bytes, this.base + hpa)
    this.touchedPages(hpa, bytes.length)
  }

  /** Sets `length` bytes at hpa to `value`. */
  fill(hpa: number, length: number, value: number): void {
    this.check(hpa, length)
    this.u8.fill(value, this.base + hpa, this.base + hpa + length)
    this.touchedPages(hpa, length)
  }
}
