/** `kennel run` from outside: what goes in, what comes out, how it ends. */
import { existsSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { LguestData } from '../emu/layout/lguest-data.ts'
import { elfImage } from '../emu/testing/elf-image.ts'
import { begin, kennel, path, statistics, useKennel } from './testing.ts'

useKennel()

describe('kernels of another kind', () => {
  // mov eax, cr4; vmcall; int 0x1f with the number of HALT; INIT and NEW_PGTABLE with a table that has nothing of ours.
  const call = (number: number, argument: number): number[] => [
    ...[0xb8, number, 0, 0, 0],
    ...[0xbb, 0, argument >>> 8, argument >>> 16, 0],
    ...[0xcd, 0x1f],
  ]
  const paged = new Uint8Array(0x2000)
  paged.set([...call(1, 0x101000), ...call(4, 0x102000)])
  paged.set([0, 0, 0, 0xc0], 0x1000 + LguestData.offset.kernel_address)
  paged[0x1000 + LguestData.offset.syscall_vec] = 0x80
  it.each([
    ['without LGUEST_GUEST', [0x0f, 0x20, 0xe0], 'unhandled trap 13 at 0x100000 (0x0) before INIT'],
    ['of Linux 2.6.32', [0x0f, 0x01, 0xc1], 'unhandled trap 6 at 0x100000 (0x0) before INIT'],
    ['that forgets INIT', [0xb8, 10, 0, 0, 0, 0xcd, 0x1f], 'hypercall 10 before INIT'],
    ['with PAE', paged, 'unhandled trap 14 at 0x100018 (0x100018)'],
  ])('one %s is told what would do', (name, code, reason) => {
    const file = path(`${name}.elf`)
    writeFileSync(file, elfImage(Uint8Array.from(code), 0x100000))
    const { status, stderr } = kennel('', 'run', '--kernel', file)
    const advice = 'give a kernel of Linux 3.1 to 3.19 that was built with LGUEST_GUEST and without PAE'
    expect(stderr).toBe(`kennel: guest was killed: ${reason}; ${advice}\n`)
    expect(status).toBe(3)
  })
})

describe('files that are no good', () => {
  const elf = (): Uint8Array => elfImage(new Uint8Array(4096).fill(0x90), 0x100000)
  const cases: [string, () => Uint8Array | undefined, string][] = [
    ['is not there', () => undefined, 'does not exist. Check the path.'],
    ['is empty', () => new Uint8Array(0), 'the file is empty; give a vmlinux (ELF) or a bzImage.'],
    ['is a text', () => new TextEncoder().encode('hello, I am no kernel'), 'this is not a kernel; give a vmlinux'],
    ['is cut off', () => elf().subarray(0, 300), 'cut off: its segment 0 should be behind byte 300; get it again.'],
    ['is cut off later', () => elf().subarray(0, 5000), 'cut off: its segment 0 should be behind byte 5000;'],
    [
      'is for 64 bits',
      () => elf().map((byte, i) => (i === 4 ? 2 : byte)),
      'this is a 64-bit kernel; lguest runs 32-bit',
    ],
  ]
  it.each(cases)('a kernel that %s', (name, make, words) => {
    const file = path(`${name.replaceAll(' ', '-')}.elf`)
    const bytes = make()
    if (bytes !== undefined) writeFileSync(file, bytes)
    const { status, stderr, stdout } = kennel('', 'run', '--kernel', file)
    expect(stderr).toMatch(/^kennel: .*\.elf.*\.\n$/)
    expect(stderr).toContain(file)
    expect(stdout).toBe('')
    expect(stderr).toContain(words)
    expect(status).toBe(2)
  })

  it('a kernel or an initrd that is a folder, is not there, or is empty', () => {
    writeFileSync(path('empty.img'), '')
    expect(kennel('', 'run', '--kernel', path(''))).toMatchObject({
      status: 2,
      stderr: `kennel: The kernel ${path('')} is a folder. Name the file in it.\n`,
    })
    expect(kennel('', 'run', '--initrd', path('none'))).toMatchObject({
      status: 2,
      stderr: `kennel: The initrd ${path('none')} does not exist. Check the path.\n`,
    })
    expect(kennel('', 'run', '--initrd', path('empty.img'))).toMatchObject({
      status: 2,
      stderr: `kennel: ${path('empty.img')}: the file is empty; leave --initrd out or give another.\n`,
    })
  })

  it('a disk that is not there, or no disk', () => {
    expect(kennel('', 'run', '--disk', path('none.img')).stderr).toContain('Make one, for example with “truncate')
    expect(kennel('', 'run', '--disk', path(''))).toMatchObject({ status: 2 })
    writeFileSync(path('tiny.img'), 'x')
    expect(kennel('', 'run', '--disk', path('tiny.img')).stderr).toContain('smaller than one sector')
  })

  it('a disk whose last sector is not whole', () => {
    writeFileSync(path('odd.img'), Buffer.alloc(1000))
    expect(kennel('', 'run', '--disk', `${path('odd.img')},ro`)).toMatchObject({
      status: 2,
      stderr: `kennel: The disk ${path('odd.img')} has 1000 bytes, which are no whole sectors of 512. Make it larger, for example with “truncate -s %512 ${path('odd.img')}”.\n`,
    })
  })

  it('a disk given twice that is written, by whatever name', () => {
    writeFileSync(path('once.img'), Buffer.alloc(65536))
    symlinkSync(path('once.img'), path('link.img'))
    const run = (...names: string[]) => kennel('poweroff\n', 'run', ...names.flatMap((name) => ['--disk', path(name)]))
    for (const names of [
      ['once.img', 'link.img'],
      ['once.img,ro', 'link.img'],
      ['once.img', 'link.img,ro'],
    ]) {
      const stderr = `kennel: The disk ${path(names[1].replace(',ro', ''))} is given twice, and would be written from two sides. Give it once.\n`
      expect(run(...names)).toMatchObject({ status: 2, stderr })
    }
    expect(run('once.img,ro', 'link.img,ro').status).toBe(0)
  })

  it('a guest larger than its host', () => {
    expect(kennel('', 'run', '--memory', '256M', '--host-ram', '128M')).toMatchObject({
      status: 2,
      stderr:
        'kennel: A guest of 256 MiB is larger than its host of 128 MiB; give the guest less (--memory) or the host more (--host-ram).\n',
    })
  })

  it.skipIf(!existsSync('/dev/zero'))('a kernel without an end', () => {
    expect(kennel('', 'run', '--kernel', '/dev/zero')).toMatchObject({
      status: 2,
      stderr: 'kennel: The kernel /dev/zero is a device. Name a file.\n',
    })
  })

  it('one disk for several guests that write', () => {
    writeFileSync(path('shared.img'), Buffer.alloc(65536))
    expect(kennel('', 'run', '--guests', '2', '--disk', path('shared.img')).stderr).toContain(
      'Several guests cannot write',
    )
  })
})

describe('what a run does', () => {
  it('keeps what pup wrote on its disk', () => {
    const disk = path('data.img')
    writeFileSync(disk, Buffer.alloc(1 << 20))
    const first = kennel('mkfs\nwrite note kept over a restart\nsync\npoweroff\n', 'run', '--disk', disk)
    expect(first).toMatchObject({ status: 0 })
    expect(kennel('cat note\npoweroff\n', 'run', '--disk', disk).stdout).toContain('cat note\nkept over a restart')
    const before = readFileSync(disk)
    const ro = kennel('write note changed\nsync\npoweroff\n', 'run', '--disk', `${disk},ro`)
    expect(ro.status).toBe(0)
    expect(readFileSync(disk).equals(before)).toBe(true)
  })

  it('begins again when pup reboots', async () => {
    const run = begin('run')
    await run.until('pup$ ')
    run.child.stdin?.write('reboot\n')
    await run.until('This is pup')
    await run.until('pup$ ')
    run.child.stdin?.write('poweroff\n')
    expect(await run.ended).toBe(0)
  })

  it('keeps what pup had not read when it reboots', () => {
    // pup's own buffers, some 2 KiB, are gone with it.
    const lines = Array.from({ length: 400 }, (_, i) => `echo tail ${i + 1}\n`).join('')
    const { status, stdout } = kennel(`reboot\n${lines}poweroff\n`, 'run', '--executor', 'lockstep')
    const [before, after] = stdout.split('\nrestarting\n')
    expect(before).not.toContain('tail')
    const tails = [...after.matchAll(/^tail (\d+)$/gm)].map(([, n]) => Number(n))
    const first = tails[0]
    expect(first).toBeGreaterThan(1)
    expect(first).toBeLessThan(300)
    expect(tails).toEqual(Array.from({ length: 400 - first + 1 }, (_, i) => first + i))
    expect(stdout).toMatch(/power down\n$/)
    expect(status).toBe(0)
  })

  it('gives the guest its command line and its memory', () => {
    const { status, stdout } = kennel('', 'run', '--memory', '32M', '--append', 'quiet run="uname -a; free"')
    expect(stdout).toContain('pup 1.0 i686 lguest, 32768 KiB of memory, started with: quiet run="uname -a; free"\n')
    expect(stdout).toMatch(/^memory +32768 K$/m)
    // Quiet: no word of the kernel's.
    expect(stdout).not.toContain('pup on lguest')
    expect(status).toBe(0)
  })

  it('boots any kernel that is given, with its initrd', () => {
    const guest = join(import.meta.dirname, '../../guests/pup')
    const files = ['--kernel', join(guest, 'pup.elf'), '--initrd', join(guest, 'initrd.img')]
    const { status, stdout, stderr } = kennel('uname\npoweroff\n', 'run', ...files)
    expect(stdout).toContain('pup$ uname\npup\npup$ poweroff\n')
    expect([status, stderr]).toEqual([0, ''])
    // It has the name of a guest that is not ours.
    expect(kennel('crash hypercall\n', 'run', ...files).stderr).toBe('kennel: guest was killed: Bad hypercall 99\n')
  })

  it.each([
    ['--cpus', '1'],
    ['--cpus', '4'],
    ['--copy', 'always'],
    ['--copy', 'always', '--cpus', '4', '--host-ram', '1G'],
    ['--engine', 'interp', '--executor', 'lockstep', '--net', 'switch'],
  ])('prints the same with %s %s ...', (...args) => {
    const { status, stdout, stderr } = kennel('uname\necho a b | wc\nfork-test\npoweroff\n', 'run', ...args)
    expect(stdout).toContain('pup$ uname\npup\npup$ echo a b | wc\n')
    expect(stdout).toMatch(/power down\n$/)
    expect([status, stderr]).toEqual([0, ''])
  })

  it('runs several guests, each line with its name', () => {
    const { status, stdout } = kennel('uname\npoweroff\n', 'run', '--guests', '3', '--cpus', '2')
    for (const name of ['pup1', 'pup2', 'pup3']) expect(stdout).toContain(`${name}: power down\n`)
    expect(stdout.split('\n').filter((line) => line !== '' && !/^pup[123]: /.test(line))).toEqual([])
    expect(status).toBe(0)
  })

  it('is the same run each time in lockstep, and counts what the seed saves', () => {
    const run = (copy: string, cpus: string) => {
      const file = path(`stats-${copy}.json`)
      const { stdout, status } = kennel(
        'fork-test\npoweroff\n',
        'run',
        '--executor',
        'lockstep',
        '--copy',
        copy,
        '--cpus',
        cpus,
        '--stats',
        file,
      )
      expect(status).toBe(0)
      const { seconds, ...stats } = statistics(file)
      expect(seconds).toBeGreaterThan(0)
      return { stdout, stats }
    }
    const first = run('elide', '1')
    expect(run('elide', '1')).toEqual(first)
    const { stats } = first
    expect(stats).toMatchObject({ schema: 1, exit: { reason: 'poweroff', detail: 'powered off' } })
    expect(stats.cpus).toHaveLength(1)
    const [cpu] = stats.cpus
    expect(Object.values(cpu.switchesByTrap).reduce((sum, count) => sum + count, 0)).toBe(cpu.worldSwitches)
    expect(stats.hypercalls['NEW_PGTABLE']).toBeGreaterThan(0)
    const always = run('always', '4').stats
    expect(always.cpus).toHaveLength(4)
    const bytes = (each: typeof stats): number => each.cpus.reduce((sum, { copied }) => sum + copied.bytes, 0)
    expect(bytes(always)).toBeGreaterThan(10 * bytes(stats))
    expect(always.cpus.every(({ elided }) => elided === 0)).toBe(true)
  })
})
