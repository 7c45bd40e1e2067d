/** `kennel run` from outside: what goes in, what comes out, how it ends. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { elfImage } from '../emu/testing/elf-image.ts'

const KENNEL = join(import.meta.dirname, '../../bin/kennel')
let folder: string

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'kennel-run-'))
  // Bundles once, so that nothing later waits for it.
  spawnSync(process.execPath, [KENNEL, '--version'])
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const path = (name: string): string => join(folder, name)

/** Milliseconds a run may take before it counts as one that never ends; SIGTERM then, which bin/kennel passes on. */
const NEVER = 500_000
vi.setConfig({ testTimeout: 2 * NEVER, hookTimeout: NEVER })

function kennel(input: string, ...args: string[]): { status: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [KENNEL, ...args], {
    input,
    encoding: 'utf8',
    timeout: NEVER,
  })
  return { status, stdout: stdout.replaceAll('\r', ''), stderr }
}

/** Statistics of a run as `--stats` wrote them. */
interface Statistics {
  schema: number
  seconds: number
  instructions: number
  exit: { reason: string; detail: string }
  cpus: {
    worldSwitches: number
    switchesByTrap: Record<string, number>
    copied: { idt: number; gdt: number; tls: number; all: number; bytes: number }
    elided: number
  }[]
  hypercalls: Record<string, number>
  interrupts: number
  pageFaults: { demand: number; reflected: number }
  jit: object
}

const statistics = (file: string): Statistics => JSON.parse(readFileSync(file, 'utf8')) as Statistics

const begun: ChildProcess[] = []
// Whatever a test that failed has left running.
afterEach(() => begun.splice(0).forEach((child) => child.kill()))

function begin(...args: string[]): {
  child: ChildProcess
  until(text: string): Promise<void>
  /** All it has printed up to now. */
  text(): string
  ended: Promise<string | number | null>
} {
  const child = spawn(process.execPath, [KENNEL, ...args], { stdio: ['pipe', 'pipe', 'pipe'] })
  begun.push(child)
  let text = ''
  let looked = 0
  let wake = (): void => {}
  child.stdout.on('data', (chunk: Buffer) => {
    text += chunk.toString()
    wake()
  })
  return {
    child,
    text: () => text,
    until: async (wanted) => {
      while (!text.includes(wanted, looked)) await new Promise<void>((resolve) => (wake = resolve))
      looked = text.indexOf(wanted, looked) + wanted.length
    },
    ended: new Promise((resolve) => child.once('exit', (code, signal) => resolve(signal ?? code))),
  }
}

describe('how a run ends', () => {
  it('0 when the guest powers off', () => {
    const { status, stdout, stderr } = kennel('echo one two | cat\npoweroff\n', 'run')
    expect(stdout).toContain('pup$ echo one two | cat\none two\n')
    expect(stderr).toBe('')
    expect(status).toBe(0)
  })

  it('0 each time, when the input is there from the first moment', () => {
    // The last words are being printed while the guest begins to wait for that.
    for (let run = 0; run < 6; run++) {
      const { status, stdout } = kennel('poweroff\n', 'run')
      expect([status, stdout.endsWith('pup$ poweroff\npower down\n')]).toEqual([0, true])
    }
  })

  it.each([
    ['hypercall', 'was killed: Bad hypercall 99'],
    ['gdt', 'was killed: too many gdt entries 32'],
    ['stack', 'was killed: bad stack page 0xbeffffff'],
    ['virtqueue', 'was killed: virtqueue "console output": chain 0 has more than 256 descriptors: a loop'],
    ['bug', 'crashed: pup panic: BUG at kernel/crash.c:'],
    ['switcher-write', 'crashed: pup panic: kernel page fault writing ffc00000 at eip '],
  ])('3 after crash %s, with the reason', (kind, reason) => {
    const { status, stdout, stderr } = kennel(`crash ${kind}\necho still here\npoweroff\n`, 'run')
    expect(stderr).toContain(`kennel: pup ${reason}`)
    expect(stderr.match(/\n/g)).toHaveLength(1)
    expect(stdout).not.toContain('still')
    expect(status).toBe(3)
  })

  it('124 when the time is over', () => {
    const { status, stderr } = kennel('', 'run', '--timeout', '0.5')
    expect(stderr).toContain('the timeout of 0.5 s has passed')
    expect(status).toBe(124)
  })

  it('124 in lockstep, though the end of the input has not come', async () => {
    const run = begin('run', '--executor', 'lockstep', '--timeout', '0.5')
    run.child.stdin?.write('poweroff\n')
    expect(await run.ended).toBe(124)
  })

  it.each([
    ['--engine', 'jit'],
    ['--executor', 'parallel'],
    ['--net', 'nat'],
    ['--record', 'file'],
    ['--replay', 'file'],
  ])('2 for what is not there yet: %s %s', (...args) => {
    const { status, stderr, stdout } = kennel('', 'run', ...args)
    expect(stderr).toMatch(new RegExp(`^kennel: ${args[0]} .*is not there yet: .*\\.\n$`))
    expect([status, stdout]).toEqual([2, ''])
  })

  it('2 for arguments that cannot be', () => {
    const { status, stderr, stdout } = kennel('', 'run', '--cpus', '9')
    expect(stderr).toBe('kennel: --cpus is a number from 1 to 8, not “9”.\n')
    expect(stdout).toBe('')
    expect(status).toBe(2)
    expect(kennel('', 'fly')).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('no command “fly”') as string,
    })
    expect(kennel('', 'snapshot', 'x').status).toBe(2)
    // Every object has one of these.
    expect(kennel('', 'constructor')).toMatchObject({
      status: 2,
      stderr: 'kennel: There is no command “constructor”. “kennel help” lists what there is.\n',
    })
  })

  it('0 for questions, answered on standard output', () => {
    const help = kennel('', 'help')
    expect(help).toMatchObject({
      status: 0,
      stderr: '',
      stdout: expect.stringContaining('usage: kennel run') as string,
    })
    for (const args of [[], ['--help'], ['-h'], ['run', '--help']]) expect(kennel('', ...args)).toEqual(help)
    expect(kennel('', '--version').stdout).toMatch(/^kennel \d+\.\d+\.\d+\n$/)
  })

  it.each(['SIGTERM', 'SIGINT', 'SIGHUP'] as const)('by %s, as any command does', async (signal) => {
    const run = begin('run')
    await run.until('pup$')
    run.child.kill(signal)
    expect(await run.ended).toBe(signal)
  })

  it('when nobody reads its output any more', async () => {
    const run = begin('run')
    await run.until('pup$')
    run.child.stdout?.destroy()
    run.child.stdin?.write('hexdump /bin/sh\nhexdump /bin/sh\n')
    expect(await run.ended).toBe(0)
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
    expect(kennel('', 'run', '--kernel', folder)).toMatchObject({
      status: 2,
      stderr: `kennel: The kernel ${folder} is a folder. Name the file in it.\n`,
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
    expect(kennel('', 'run', '--disk', folder)).toMatchObject({ status: 2 })
    writeFileSync(path('tiny.img'), 'x')
    expect(kennel('', 'run', '--disk', path('tiny.img')).stderr).toContain('smaller than one sector')
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

  it('prints the line each of several guests has begun, whatever ends the run', async () => {
    // A begun line cannot be waited for from here: more and more time, until both have come as far as their prompts.
    let lines: string[] = []
    for (let seconds = 4; seconds <= 256 && lines.length < 3; seconds *= 4) {
      const { stdout, status } = kennel('', 'run', '--guests', '2', '--timeout', `${seconds}`)
      expect(status).toBe(124)
      expect(stdout === '' || stdout.endsWith('\n')).toBe(true)
      lines = stdout.split('\n').filter((line) => line === '' || line.endsWith('pup$ '))
    }
    expect(lines.sort()).toEqual(['', 'pup1: pup$ ', 'pup2: pup$ '])

    const run = begin('run', '--guests', '2')
    await run.until('This is pup')
    await run.until('This is pup')
    run.child.kill()
    expect(await run.ended).toBe('SIGTERM')
    expect(run.text().endsWith('\n')).toBe(true)
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

describe('statistics', () => {
  const counts = (value: Record<string, number>): void => {
    for (const [name, count] of Object.entries(value)) {
      expect(Number.isSafeInteger(count) && count >= 0, `${name}: ${count}`).toBe(true)
    }
  }

  it('have the fields of the contract, and no others', () => {
    const file = path('fields.json')
    expect(kennel('fork-test\npoweroff\n', 'run', '--cpus', '3', '--stats', file).status).toBe(0)
    expect(readFileSync(file, 'utf8').endsWith('}\n')).toBe(true)
    const stats = statistics(file)
    expect(Object.keys(stats)).toEqual(
      'schema seconds instructions exit cpus hypercalls interrupts pageFaults jit'.split(' '),
    )
    expect(stats).toMatchObject({ schema: 1, exit: { reason: 'poweroff', detail: 'powered off' }, jit: {} })
    expect(stats.seconds).toBeGreaterThan(0)
    expect(stats.instructions).toBeGreaterThan(100_000)
    counts({ instructions: stats.instructions, interrupts: stats.interrupts })
    expect(stats.interrupts).toBeGreaterThan(0)
    expect(Object.keys(stats.pageFaults)).toEqual(['demand', 'reflected'])
    counts(stats.pageFaults)
    // A copy-on-write fork has both kinds.
    expect(stats.pageFaults.demand).toBeGreaterThan(0)
    expect(stats.pageFaults.reflected).toBeGreaterThan(0)
    counts(stats.hypercalls)
    expect(stats.hypercalls).toMatchObject({ LGUEST_INIT: 1, SHUTDOWN: 1 })
    expect(stats.cpus).toHaveLength(3)
    for (const cpu of stats.cpus) {
      expect(Object.keys(cpu)).toEqual(['worldSwitches', 'switchesByTrap', 'copied', 'elided'])
      expect(Object.keys(cpu.copied)).toEqual(['idt', 'gdt', 'tls', 'all', 'bytes'])
      counts({ ...cpu.copied, ...cpu.switchesByTrap, worldSwitches: cpu.worldSwitches, elided: cpu.elided })
      for (const trap of Object.keys(cpu.switchesByTrap)) expect(trap).toMatch(/^\d+$/)
    }
    const hypercallSwitches = stats.cpus.reduce((sum, cpu) => sum + (cpu.switchesByTrap['31'] ?? 0), 0)
    expect(hypercallSwitches).toBeGreaterThan(0)
  })

  it('are written however the run ends', async () => {
    const file = path('ends.json')
    const exit = (): Statistics['exit'] => statistics(file).exit
    kennel('crash hypercall\n', 'run', '--stats', file)
    expect(exit()).toEqual({ reason: 'killed', detail: 'Bad hypercall 99' })
    kennel('crash bug\n', 'run', '--stats', file)
    expect(exit()).toMatchObject({ reason: 'crashed', detail: expect.stringContaining('pup panic: BUG at') as string })
    kennel('', 'run', '--timeout', '0.3', '--stats', file)
    expect(exit()).toEqual({ reason: 'timeout', detail: '' })
    const run = begin('run', '--stats', file)
    await run.until('pup$')
    run.child.kill()
    await run.ended
    expect(exit()).toEqual({ reason: 'signal', detail: '' })
  })

  it('that cannot be written are a sentence, and the guest’s output is whole', () => {
    const file = path('no/such/folder.json')
    const { stdout, stderr } = kennel('poweroff\n', 'run', '--stats', file)
    expect(stderr).toContain(`kennel: the statistics could not be written to ${file}: ENOENT`)
    expect(stdout).toMatch(/power down\n$/)
  })
})

describe('on a terminal', () => {
  // Python's pty module makes the terminal; it prints "modes same" when they are as before.
  const script = `
import os, pty, select, sys, termios, signal
master, slave = pty.openpty()
before = termios.tcgetattr(slave)
pid = os.fork()
if pid == 0:
    os.setsid(); os.dup2(slave, 0); os.dup2(slave, 1); os.dup2(slave, 2); os.close(master)
    os.execv(sys.argv[1], sys.argv[1:3] + ['run'])
text = b''
def until(wanted):
    global text
    while wanted not in text:
        if not select.select([master], [], [], 300)[0]:
            os.kill(pid, signal.SIGTERM)
            raise SystemExit('no ' + repr(wanted) + ' in ' + repr(text))
        text += os.read(master, 4096)
    text = text[text.index(wanted) + len(wanted):]
def type(keys): os.write(master, keys)
until(b'pup$ ')
modes = termios.tcgetattr(slave)
assert modes[3] & (termios.ICANON | termios.ECHO | termios.ISIG) == 0, 'not raw'
type(b'echo ty\\x7fyped | cat\\n')
until(b'| cat\\r')
until(b'typed\\r')
how = sys.argv[3]
if how == 'leave':
    type(b'echo not\\x1d')
elif how == 'poweroff':
    type(b'poweroff\\n')
    until(b'power down')
elif how == 'interrupt':
    # The guest's business, which goes on.
    type(b'sleep 1000\\n')
    until(b'sleep 1000\\r')
    type(b'\\x03')
    until(b'pup$ ')
    type(b'echo alive | cat\\n')
    until(b'cat\\r')
    until(b'alive\\r')
    type(b'\\x1d')
elif how == 'crash':
    type(b'crash hypercall\\n')
    until(b'kennel: pup was killed: Bad hypercall 99')
else:
    os.kill(pid, getattr(signal, how))
_, status = os.waitpid(pid, 0)
print('status', os.waitstatus_to_exitcode(status), 'modes', 'same' if termios.tcgetattr(slave) == before else 'changed')
`
  const python = spawnSync('python3', ['-c', 'import pty']).status === 0
  const onTerminal = (how: string): string => {
    const args = ['-c', script, process.execPath, KENNEL, how]
    const { stdout, stderr } = spawnSync('python3', args, { encoding: 'utf8', timeout: NEVER })
    return stdout + stderr
  }

  it.skipIf(!python).each([
    ['leave', 'leaves with Ctrl-]', 0],
    ['poweroff', 'ends with its guest', 0],
    ['interrupt', 'gives Ctrl-C to the guest', 0],
    ['crash', 'ends with a guest that crashes', 3],
    ['SIGTERM', 'ends by SIGTERM', -15],
    ['SIGINT', 'ends by SIGINT', -2],
    ['SIGHUP', 'ends by SIGHUP', -1],
  ])('is raw (%s): %s, and puts the terminal back', (how, _, status) => {
    expect(onTerminal(how)).toBe(`status ${status} modes same\n`)
  })
})
