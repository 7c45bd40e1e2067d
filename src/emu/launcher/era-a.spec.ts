import { describe, expect, it } from 'vitest'
import { Bytes } from '../bits/bytes.ts'
import { LAUNCHER_PRIVATE, LauncherState } from '../layout/launcher-state.ts'
import { LguestDma } from '../layout/lguest-dma.ts'
import { LHREQ } from '../layout/lguest-data.ts'
import { MachineMemory, type PhysMemory } from '../layout/memory.ts'
import { elfImage } from '../testing/elf-image.ts'
import { string, text } from '../testing/virtio-driver.ts'
import type { BootOptions } from './boot-params.ts'
import { ConsolePort } from './console-port.ts'
import { EraALauncher } from './era-a.ts'
import { UnusableImageError } from './errors.ts'
import type { LauncherHost, LauncherProgram } from './host-calls.ts'
import { type GuestExit, Launcher } from './launcher.ts'
import { type KernelImage, loadKernel } from './load-kernel.ts'

const MIB = 1 << 20
const PAGE = 4096
const LOAD = 0x10_0000
const OFFSET = 0xc000_0000
const MEMORY = 6 * MIB
const FD = 3

/** A kernel of 2007 that is linked at `offset` and fills memory up to `end`. */
function kernelAt(offset = OFFSET, end = LOAD + 0x5000, memory = 1 << 30): KernelImage {
  const file = elfImage(text('GenuineLguestcode'), LOAD, (offset + LOAD) >>> 0)
  // p_memsz: the rest is bss.
  new Bytes(file).write32(52 + 20, end - LOAD)
  return loadKernel(file, { name: 'vmlinux', memory, era: 'A' })
}

const boot: BootOptions = { memory: MEMORY, commandLine: 'quiet' }

/** Guest memory as the segments make it. */
function memoryOf(era: EraALauncher): Bytes {
  const bytes = new Uint8Array(era.guestLimit)
  for (const segment of era.segments) bytes.set(segment.bytes, segment.gpa)
  return new Bytes(bytes)
}

/** What the MMU would make of a gva: gpa and flags, or undefined where nothing is mapped. */
function walk(memory: Bytes, pgdir: number, gva: number): { gpa: number; flags: number } | undefined {
  const pde = memory.read32(pgdir + (gva >>> 22) * 4)
  if ((pde & 1) === 0) return undefined
  const pte = memory.read32((pde & ~0xfff) + ((gva >>> 12) & 0x3ff) * 4)
  if ((pte & 1) === 0) return undefined
  return { gpa: (pte & ~0xfff) | (gva & 0xfff), flags: pte & pde & 0xfff }
}

describe('the first page tables', () => {
  it('map all of RAM at page_offset, for everybody, and nothing else', () => {
    const era = new EraALauncher(kernelAt(), boot)
    const memory = memoryOf(era)
    const [, pgdir] = era.initialize
    expect(pgdir).toBe(MEMORY - PAGE)
    for (let gpa = 0; gpa < MEMORY; gpa += PAGE) {
      expect(walk(memory, pgdir, OFFSET + gpa + 0x123)).toEqual({ gpa: gpa + 0x123, flags: 7 })
    }
    expect(walk(memory, pgdir, OFFSET + MEMORY)).toBeUndefined()
    expect(walk(memory, pgdir, OFFSET - PAGE)).toBeUndefined()
    expect(walk(memory, pgdir, 0)).toBeUndefined()
    const entries = Array.from({ length: 1024 }, (_, i) => memory.read32(pgdir + i * 4))
    expect(entries.flatMap((entry, i) => (entry === 0 ? [] : [i]))).toEqual([768, 769])
    // The directory is the last page, the tables are right below it.
    expect([entries[768], entries[769]]).toEqual([(MEMORY - 3 * PAGE) | 7, (MEMORY - 2 * PAGE) | 7])
  })

  it('lie below the initrd', () => {
    const initrd = { name: 'initrd.img', bytes: new Uint8Array(PAGE + 1).fill(0xab) }
    const era = new EraALauncher(kernelAt(), { ...boot, initrd })
    const memory = memoryOf(era)
    expect(era.initialize[1]).toBe(MEMORY - 3 * PAGE)
    expect(memory.read32(0x218)).toBe(MEMORY - 2 * PAGE)
    expect(memory.bytes.subarray(MEMORY - 2 * PAGE, MEMORY - PAGE + 1)).toEqual(initrd.bytes)
    expect(walk(memory, era.initialize[1], OFFSET + LOAD)).toEqual({ gpa: LOAD, flags: 7 })
  })

  it('end at the end of the address space', () => {
    const era = new EraALauncher(kernelAt(0xffc0_0000), boot)
    const memory = memoryOf(era)
    const [, pgdir] = era.initialize
    expect(walk(memory, pgdir, 0xffff_f000)).toEqual({ gpa: 0x3f_f000, flags: 7 })
    expect(walk(memory, pgdir, 0)).toBeUndefined()
    expect(memory.read32(pgdir + 1023 * 4)).toBe((MEMORY - 2 * PAGE) | 7)
  })

  it('map from address 0 when page_offset is 0', () => {
    const era = new EraALauncher(kernelAt(0), boot)
    expect(walk(memoryOf(era), era.initialize[1], LOAD)).toEqual({ gpa: LOAD, flags: 7 })
  })
})

describe('what the guest finds', () => {
  it('INITIALIZE has pages, page directory, virtual entry and page_offset', () => {
    const era = new EraALauncher(kernelAt(), boot)
    expect(era.initialize).toEqual([MEMORY / PAGE + 1, MEMORY - PAGE, OFFSET + LOAD + 13, OFFSET])
    expect(era.guestLimit).toBe(MEMORY + PAGE)
  })

  it('behind RAM is the bus: a console, and 15 empty places', () => {
    const memory = memoryOf(new EraALauncher(kernelAt(), boot))
    expect(memory.read16(MEMORY)).toBe(1)
    expect(memory.bytes.subarray(MEMORY + 2, MEMORY + PAGE)).toEqual(new Uint8Array(PAGE - 2))
  })

  it('boot_params and command line are those of every era; e820 does not count the bus', () => {
    const memory = memoryOf(new EraALauncher(kernelAt(), boot))
    expect(memory.read32(0x2d8)).toBe(MEMORY)
    expect(memory.read32(0x23c)).toBe(1)
    expect(string(memory.bytes.subarray(0x1000, 0x1006))).toBe('quiet\0')
    expect(string(memory.bytes.subarray(LOAD, LOAD + 17))).toBe('GenuineLguestcode')
  })
})

describe('what does not fit', () => {
  function refusal(kernel: KernelImage, options: BootOptions): [string, string] {
    try {
      new EraALauncher(kernel, options)
    } catch (error) {
      if (!(error instanceof UnusableImageError)) throw error
      return [error.code, error.message]
    }
    throw new Error('it fits')
  }

  it.each([0xc010_0000, 0x1000])('a kernel linked at %i', (offset) => {
    expect(refusal(kernelAt(offset), boot)).toEqual([
      'bad-header',
      `The kernel's virtual addresses begin at 0x${offset.toString(16)}, not at a multiple of 4 MiB; link it at such an address.`,
    ])
  })

  it('a kernel where the page tables should be, by one byte', () => {
    const room = MEMORY - 3 * PAGE
    expect(new EraALauncher(kernelAt(OFFSET, room), boot).initialize[1]).toBe(MEMORY - PAGE)
    expect(refusal(kernelAt(OFFSET, room + 1), boot)).toEqual([
      'outside-memory',
      "The kernel leaves no memory of the guest's 6 MiB; give it more, --memory 11M.",
    ])
  })

  it.each([4 * MIB, 40 * MIB])('an initrd of %i bytes', (length) => {
    const initrd = { name: 'initrd.img', bytes: new Uint8Array(length) }
    const [code, message] = refusal(kernelAt(OFFSET, 3 * MIB), { ...boot, initrd })
    expect(code).toBe('initrd-too-large')
    expect(message).toMatch(
      /^initrd\.img: \d+ MiB do not fit beside the kernel in the guest's 6 MiB; give it more, --memory /,
    )
    const memory = Number(/--memory (\d+)M/.exec(message)?.[1]) * MIB
    expect(new EraALauncher(kernelAt(OFFSET, 3 * MIB), { memory, commandLine: '', initrd }).guestLimit).toBe(
      memory + PAGE,
    )
  })
})

/** The system calls of one launcher, and what it asked for. */
class SmallHost implements LauncherHost {
  readonly mem: PhysMemory
  readonly programs: LauncherProgram[] = []
  readonly opened: string[] = []
  readonly writes: number[][] = []
  readonly closed: number[] = []
  readonly woken: number[] = []
  /** What GETDMA answers: gpas, each once. */
  readonly buffers: number[] = []
  private readonly pages = new Map<number, number>()

  constructor() {
    this.mem = new MachineMemory({ cpus: 1, ramSize: 8 * MIB }).phys
  }

  spawn(program: LauncherProgram): number {
    return this.programs.push(program)
  }

  userPage(_task: number, hva: number): number {
    let hpa = this.pages.get(hva)
    if (hpa === undefined) {
      hpa = (this.pages.size + 1) * PAGE
      this.pages.set(hva, hpa)
    }
    return hpa
  }

  sysOpen(_task: number, path: string): number {
    this.opened.push(path)
    return FD
  }

  sysWrite(_task: number, fd: number, words: readonly number[]): number {
    expect(fd).toBe(FD)
    this.writes.push([...words])
    if (words[0] === LHREQ.GETDMA) return this.buffers.shift() ?? -2
    return 0
  }

  sysClose(_task: number, fd: number): void {
    this.closed.push(fd)
  }

  sysEventfd(): number {
    throw new Error('this era has no eventfds')
  }

  takeEvents(): number {
    throw new Error('this era has no eventfds')
  }

  wakeUp(task: number): void {
    this.woken.push(task)
  }

  signal(): void {}
}

/** A guest that has been entered; its terminal has room for `room` bytes, or for everything. */
function started(room?: number) {
  const host = new SmallHost()
  const terminal = { room, written: '' }
  const port = new ConsolePort({
    write(bytes) {
      terminal.written += string(bytes)
      if (terminal.room !== undefined) terminal.room -= bytes.length
    },
    room: () => terminal.room ?? Infinity,
  })
  const exits: GuestExit[] = []
  const launcher = new Launcher(host, {
    name: 'old',
    era: new EraALauncher(kernelAt(), boot),
    console: port,
    onExit: (exit) => exits.push(exit),
  })
  expect(launcher.start()).toBe(true)
  const { ram, vcpuTask, ioTask } = launcher
  const vcpu = (result: number) => host.programs[vcpuTask - 1].step(vcpuTask, result)
  const io = () => host.programs[ioTask - 1].step(ioTask, 0)
  const first = vcpu(0)
  const initialized = host.writes.splice(0)

  /** Puts a lguest_dma at gpa `at`. */
  function dma(at: number, sections: readonly (readonly [number, number])[], usedLength = 0): void {
    ram.writeBytes(at, new Uint8Array(LguestDma.size))
    const view = LguestDma.at(ram, at)
    view.used_len = usedLength
    sections.forEach(([addr, len], i) => {
      view.addr.set(i, addr)
      view.len.set(i, len)
    })
  }
  const usedLength = (at: number): number => LguestDma.at(ram, at).used_len
  /** read() returns a SEND_DMA. */
  function send(at: number, key = 0) {
    launcher.state.$mem.write32(LauncherState.offset.read_buffer, at)
    launcher.state.$mem.write32(LauncherState.offset.read_buffer + 4, key)
    return vcpu(8)
  }
  return { host, terminal, port, exits, launcher, ram, vcpu, io, first, initialized, dma, usedLength, send }
}

const READ = { call: 'read', fd: FD, address: LAUNCHER_PRIVATE + LauncherState.offset.read_buffer, length: 256 }

describe('the launcher', () => {
  it('opens /dev/lguest, fills memory, initializes, and reads', () => {
    const { host, ram, first, initialized, launcher } = started()
    expect(host.opened).toEqual(['/dev/lguest'])
    expect(initialized).toEqual([[LHREQ.INITIALIZE, MEMORY / PAGE + 1, MEMORY - PAGE, OFFSET + LOAD + 13, OFFSET]])
    expect(first).toEqual(READ)
    expect(launcher.state.guest_limit).toBe(MEMORY + PAGE)
    expect(string(ram.readBytes(LOAD, 17))).toBe('GenuineLguestcode')
    expect(ram.readBytes(LOAD + 17, 0x5000 - 17)).toEqual(new Uint8Array(0x5000 - 17))
    expect(ram.read16(MEMORY)).toBe(1)
    const copy = new Bytes(ram.readBytes(0, MEMORY))
    expect(walk(copy, MEMORY - PAGE, OFFSET + 0x1000)).toEqual({ gpa: 0x1000, flags: 7 })
  })
})

describe('console output', () => {
  it('is all sections up to the first empty one, and used_len says how much', () => {
    const { ram, dma, send, terminal, usedLength } = started()
    ram.writeBytes(0x3000, text('hello, '))
    ram.writeBytes(0x4ff8, text('world'))
    ram.writeBytes(0x6000, text('not this'))
    dma(0x2000, [
      [0x3000, 7],
      [0x4ff8, 5],
      [0x6000, 0],
      [0x6000, 8],
    ])
    expect(send(0x2000)).toEqual(READ)
    expect(terminal.written).toBe('hello, world')
    expect(usedLength(0x2000)).toBe(12)
  })

  it('may fill all 16 sections', () => {
    const { ram, dma, send, terminal, usedLength } = started()
    ram.writeBytes(0x3000, text('0123456789abcdef'))
    dma(
      0x2000,
      Array.from({ length: 16 }, (_, i) => [0x3000 + i, 1] as const),
    )
    send(0x2000)
    expect(terminal.written).toBe('0123456789abcdef')
    expect(usedLength(0x2000)).toBe(16)
  })

  it('of nothing is done at once', () => {
    const { dma, send, terminal, usedLength } = started()
    dma(0x2000, [], 99)
    expect(send(0x2000)).toEqual(READ)
    expect([terminal.written, usedLength(0x2000)]).toEqual(['', 0])
  })

  it('waits for room without losing or repeating a byte, in the middle of any section', () => {
    const { host, ram, dma, send, vcpu, terminal, usedLength, port } = started(2)
    ram.writeBytes(0x3000, text('abcdefgh'))
    dma(0x2000, [
      [0x3000, 3],
      [0x3003, 1],
      [0x3004, 4],
    ])
    expect(send(0x2000)).toEqual({ call: 'wait' })
    expect([terminal.written, usedLength(0x2000)]).toEqual(['ab', 0])
    const steps = [1, 1, 2].map((room) => {
      terminal.room = room
      host.woken.length = 0
      port.drained()
      expect(host.woken).toContain(1)
      expect(vcpu(0)).toEqual({ call: 'wait' })
      return terminal.written
    })
    expect(steps).toEqual(['abc', 'abcd', 'abcdef'])
    terminal.room = 10
    expect(vcpu(0)).toEqual(READ)
    expect([terminal.written, usedLength(0x2000)]).toEqual(['abcdefgh', 8])
  })

  const crimes: [string, string, (guest: ReturnType<typeof started>) => unknown][] = [
    [
      'a key that is not the console',
      'SEND_DMA with key 0x4, which no device has',
      (guest) => {
        guest.dma(0x2000, [[0x3000, 1]])
        return guest.send(0x2000, 4)
      },
    ],
    [
      'a section outside memory',
      'bad DMA entry: 16@0xfffffff8',
      (guest) => {
        guest.dma(0x2000, [
          [0x3000, 0x10],
          [0xffff_fff8, 16],
        ])
        return guest.send(0x2000)
      },
    ],
    [
      'a section that ends outside memory',
      'bad DMA entry: 2@0x600fff',
      (guest) => {
        guest.dma(0x2000, [[MEMORY + PAGE - 1, 2]])
        return guest.send(0x2000)
      },
    ],
    ['a DMA outside memory', 'access to 0x601044, outside its memory', (guest) => guest.send(MEMORY + PAGE)],
  ]
  it.each(crimes)('%s ends the guest, with a reason', (_, reason, commit) => {
    const guest = started()
    expect(commit(guest)).toEqual({ call: 'exit', code: 0 })
    expect(guest.host.closed).toEqual([FD])
    expect(guest.exits).toEqual([])
    expect(guest.io()).toEqual({ call: 'exit', code: 0 })
    expect(guest.exits).toEqual([{ kind: 'killed', reason }])
  })
})

describe('console input', () => {
  it('is nothing to do until somebody types', () => {
    const { host, io } = started()
    expect(io()).toEqual({ call: 'wait' })
    expect(host.writes).toEqual([])
  })

  it('waits for a buffer, looking again and again, because no guest says when it has one', () => {
    const { host, io, port, ram, dma, usedLength } = started()
    port.type(text('ls\n'))
    expect(host.woken).toEqual([2])
    expect(io()).toEqual({ call: 'yield' })
    expect(io()).toEqual({ call: 'yield' })
    expect(host.writes).toEqual([
      [LHREQ.GETDMA, 0],
      [LHREQ.GETDMA, 0],
    ])
    expect(port.waiting).toBe(3)
    host.writes.length = 0
    dma(0x2000, [[0x3000, 256]], 5)
    host.buffers.push(0x2000)
    expect(io()).toEqual({ call: 'wait' })
    expect(string(ram.readBytes(0x3000, 4))).toBe('ls\n\0')
    expect(usedLength(0x2000)).toBe(3)
    // The interrupt is what GETDMA left in used_len.
    expect(host.writes).toEqual([
      [LHREQ.GETDMA, 0],
      [LHREQ.IRQ, 5],
    ])
  })

  it('fills sections and buffers one after the other, and keeps the rest', () => {
    const { host, io, port, ram, dma, usedLength } = started()
    dma(
      0x2000,
      [
        [0x3000, 2],
        [0x3100, 3],
      ],
      1,
    )
    dma(0x2100, [[0x3200, 4]], 1)
    host.buffers.push(0x2000, 0x2100)
    port.type(text('abcdefghijk'))
    expect(io()).toEqual({ call: 'yield' })
    const at = (gpa: number, length: number): string => string(ram.readBytes(gpa, length))
    expect([at(0x3000, 3), at(0x3100, 4), at(0x3200, 5)]).toEqual(['ab\0', 'cde\0', 'fghi\0'])
    expect([usedLength(0x2000), usedLength(0x2100)]).toEqual([5, 4])
    expect(host.writes.filter(([request]) => request === LHREQ.IRQ)).toHaveLength(2)
    expect(port.waiting).toBe(2)
  })

  it.each([
    ['outside memory', [[MEMORY + PAGE - 4, 8]] as const, 'bad address in registered DMA struct'],
    ['of no bytes', [] as const, 'bad registered DMA buffer'],
  ])('into a buffer %s ends the guest', (_, sections, reason) => {
    const { host, io, vcpu, port, dma, exits } = started()
    dma(0x2000, sections, 1)
    host.buffers.push(0x2000)
    port.type(text('x'))
    io()
    expect(vcpu(-4)).toEqual({ call: 'exit', code: 0 })
    expect(io()).toEqual({ call: 'exit', code: 0 })
    expect(exits).toEqual([{ kind: 'killed', reason }])
  })
})
