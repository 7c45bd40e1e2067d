/**
 * pup on the emulated machine, through `bin/kennel run` as a person would start it: every shell command, pup's own
 * selftest, the benchmarks, and each way to crash with the reason it must end in.
 */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it, vi } from 'vitest'

const kennel = join(import.meta.dirname, '../../bin/kennel')
const directory = mkdtempSync(join(tmpdir(), 'kennel-pup-'))
afterAll(() => rmSync(directory, { recursive: true, force: true }))

// These runs go by the wall clock, on a machine of any speed: whatever is asserted holds under every schedule, and a time
// limit is only there for what would never end.
const NEVER_SECONDS = 500
vi.setConfig({ testTimeout: 2 * NEVER_SECONDS * 1000 })

/** A running pup: send() types, expect() waits for text and forgets what came before its end. */
class Pup {
  stdout = ''
  stderr = ''
  private readonly child: ChildProcessWithoutNullStreams
  private readonly exit: Promise<number | null>
  private closed = false
  private seen = 0

  constructor(...args: string[]) {
    this.child = spawn(process.execPath, [kennel, 'run', '--timeout', `${NEVER_SECONDS}`, ...args])
    this.child.stdin.on('error', () => {}) // it has ended: whoever waits for it finds out
    this.child.stdout.on('data', (data: Buffer) => (this.stdout += data.toString('latin1').replaceAll('\r\n', '\n')))
    this.child.stderr.on('data', (data: Buffer) => (this.stderr += data.toString()))
    this.exit = new Promise((resolve) =>
      this.child.on('close', (status) => {
        this.closed = true
        resolve(status)
      }),
    )
  }

  send(text: string): this {
    this.child.stdin.write(text, 'latin1')
    return this
  }

  async expect(pattern: RegExp | string): Promise<string> {
    for (;;) {
      // Asked before the output is searched: at the end that has all of it.
      const { closed } = this
      const rest = this.stdout.slice(this.seen)
      const found = typeof pattern === 'string' ? rest.indexOf(pattern) : rest.search(pattern)
      if (found >= 0) {
        const length = typeof pattern === 'string' ? pattern.length : pattern.exec(rest)![0].length
        this.seen += found + length
        return rest.slice(0, found + length)
      }
      if (closed) throw new Error(`${pattern} never came; the output ends:\n${rest}\n${this.stderr}`)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }

  /** The output of one command at the prompt. */
  async command(line: string): Promise<string> {
    this.send(`${line}\r`)
    await this.expect(`${line}\n`)
    return (await this.expect('pup$ ')).slice(0, -'pup$ '.length)
  }

  /** Types again and again until the pattern comes: for keys that only have an effect once a program is there to get them. */
  async insist(keys: string, pattern: RegExp): Promise<string> {
    const typing = setInterval(() => this.send(keys), 200)
    try {
      return await this.expect(pattern)
    } finally {
      clearInterval(typing)
    }
  }

  status(): Promise<number | null> {
    return this.exit
  }
}

const run = async (commands: string, ...args: string[]) => {
  const pup = new Pup('--append', `quiet run="${commands}"`, ...args)
  return { status: await pup.status(), stdout: pup.stdout, stderr: pup.stderr }
}

describe.skipIf(!existsSync(kennel))('pup on the emulated machine', () => {
  it('boots to its prompt, runs each command, and powers off', async () => {
    const disk = join(directory, 'commands.img')
    writeFileSync(disk, '')
    truncateSync(disk, 2 << 20)
    const pup = new Pup('--disk', disk)
    await pup.expect('pup$ ')
    expect(await pup.command('help')).toMatch(/ps {2}kill.*\n(.*\n)*reboot {2}poweroff/)
    // The shell waits for ps, or has not come to that yet.
    expect(await pup.command('ps')).toMatch(/0 +0 S .* idle\n +1 +0 S .* init\n +2 +1 [RS] .* sh\n +\d+ +2 R .* ps\n/)
    expect(await pup.command('uname')).toBe('pup\n')
    expect(await pup.command('uname -a')).toMatch(/^pup 1\.0 i686 lguest, \d+ KiB of memory/)
    expect(await pup.command('free')).toMatch(
      /memory +\d+ K\n +kernel +\d+ K.*\n +cache .*\n +used .*\n +free .*\ndisk +2048 K/,
    )
    expect(await pup.command('uptime')).toMatch(/^up \d+\.\d{3} s, idle .*\n\d+ process switches, \d+ system calls/)
    expect(await pup.command('dmesg')).toMatch(/\[ *\d+\.\d{6}\] pup on lguest(.*\n)*.*virtio: disk vda, 2048 KiB/)
    expect(await pup.command('echo one  "two  three" \'|\' # four')).toBe('one two  three |\n')
    expect(await pup.command('write greeting hello there')).toBe('')
    expect(await pup.command('cat greeting')).toBe('hello there\n')
    expect(await pup.command('ls -l')).toBe('        0 bin/\n        0 dev/\n       12 greeting\n')
    expect(await pup.command('ls /bin')).toMatch(/^init +sh +help/)
    expect(await pup.command('hexdump greeting')).toBe(
      '00000000  68 65 6c 6c 6f 20 74 68  65 72 65 0a              |hello there.|\n',
    )
    expect(await pup.command('cat greeting | wc')).toBe('      1       2      12\n')
    expect(await pup.command('cat /dev/klog | grep pupfs | head -1 | grep vda > found; wc < found')).toMatch(/^ +1 /)
    expect(await pup.command('rm greeting found; ls')).toBe('bin/         dev/         \n')
    expect(await pup.command('cat greeting; echo $?')).toBe('greeting: no such file\n1\n')
    expect(await pup.command('nonsense')).toBe('nonsense: command not found\n')
    expect(await pup.command('time echo timed')).toMatch(/^timed\nreal \d+\.\d{6} s\ncpu {2}\d+\.\d{6} s\n$/)
    expect(await pup.command('fork-test')).toMatch(/^fork-test: 20 children, 20 good, memory of the parent intact/)
    expect(await pup.command('fork-test 100')).toMatch(/child \d+: too many processes\n/)
    // What went wrong is no part of the output.
    expect(await pup.command('cat greeting | wc')).toMatch(
      /^(greeting: no such file\n)? +0 +0 +0\n(greeting: no such file\n)?$/,
    )
    expect(await pup.command('cat nothing > out; wc < out; rm out')).toBe(
      'nothing: no such file\n      0       0       0\n',
    )
    expect(await pup.command('cat /bin; write a/b c; rm /dev/null')).toBe(
      '/bin: is a directory\na/b: no such directory\nrm: /dev/null: read-only\n',
    )
    expect(await pup.command('echo -n one > f; write -a f and two; cat f; echo -n last >> f; grep la f; ls f')).toBe(
      'oneand two\nlast\nf            \n',
    )
    expect(await pup.command('hv')).toMatch(
      /kernel: cs 61 \(ring 1\)(.*\n)*.*program: cs 73 \(ring 3\)(.*\n)*hypercalls/,
    )
    expect((await pup.command('crash')).trimEnd().split('\n')).toHaveLength(12)
    expect(await pup.command('random 4')).toMatch(/^[0-9a-f]{8}\n$/)
    const [, pid] = /\[(\d+)\]/.exec(await pup.command('sleep 100000 &'))!
    expect(await pup.command(`kill -KILL ${pid}; wait`)).toBe(`[${pid}] done, status 137\n`)
    expect(await pup.command('ps | grep sleep')).toBe('')
    pup.send('poweroff\r')
    expect(await pup.status()).toBe(0)
    expect(pup.stderr).toBe('')
  })

  it('edits lines, keeps a history, and ^C ends what runs', async () => {
    const pup = new Pup()
    await pup.expect('pup$ ')
    pup.send('ecto\x7f\x7fho x\x1b[D\x1b[D abc\x05!\r')
    await pup.expect('abc x!\n')
    await pup.expect('pup$ ')
    pup.send('\x1b[A2\r')
    await pup.expect('abc x!2\n')
    await pup.expect('pup$ ')
    pup.send('forgotten words\x17\x15echo kept\r')
    await pup.expect('kept\n')
    await pup.expect('pup$ ')
    pup.send('loop\r')
    await pup.expect('loop\n')
    await pup.insist('\x03', /\^C\n\[\d+\] \d+ rounds in \d+ ms\n/)
    // Whatever programs a line starts, they end together, and so does the line. The ^C may be there before any of them.
    for (const line of ['loop; echo never', 'loop | cat | cat', 'sh -c "loop"', 'time loop', 'loop & wait']) {
      pup.send(`${line}\r\x03`)
      expect(await pup.expect('pup$ ')).not.toMatch(/^never/m)
    }
    pup.send('cat\rwrong\x7f\x7f\x7f\x7f\x7fright\r\x04echo $?\r')
    await pup.expect('right\nright\n')
    await pup.expect('0\npup$ ')
    pup.send('poweroff\r')
    expect(await pup.status()).toBe(0)
  })

  it('keeps typed-ahead input until it is read', async () => {
    const lines = Array.from({ length: 200 }, (_, i) => `echo line ${i}`)
    const pup = new Pup().send(`${lines.join('\n')}\npoweroff\n`)
    expect(await pup.status()).toBe(0)
    const echoed = [...pup.stdout.matchAll(/^line (\d+)$/gm)].map(([, n]) => Number(n))
    expect(echoed).toEqual(lines.map((_, i) => i))
  })

  it.each(['8M', '64M'])('passes its own selftest in %s of memory', async (memory) => {
    const { status, stdout } = await run('selftest', '--memory', memory)
    expect(stdout).not.toMatch(/FAIL/)
    expect(stdout).toMatch(/selftest: \d+ ok, 0 failed/)
    expect(status).toBe(0)
  })

  it('ends what run= started by ^C', async () => {
    const pup = new Pup('--append', 'run="echo begins; loop; echo never"')
    await pup.expect('\nbegins\n')
    await pup.insist('\x03', /\^C\n/)
    expect(await pup.status()).toBe(0)
    expect(pup.stdout).not.toContain('\nnever\n')
  })

  it.each(['4M', '16M', '512M'])('runs in %s of memory', async (memory) => {
    const { status, stdout } = await run('fork-test 8; free', '--memory', memory)
    expect(stdout).toContain('8 good, memory of the parent intact')
    expect(stdout).toContain(`memory    ${String(parseInt(memory, 10) * 1024).padStart(7)} K`)
    expect(status).toBe(0)
  })

  it('keeps files on its disk, and leaves a read-only disk as it is', async () => {
    const disk = join(directory, 'kept.img')
    writeFileSync(disk, '')
    truncateSync(disk, 1 << 20)
    await run('write note remember me', '--disk', disk)
    expect((await run('cat note', '--disk', disk)).stdout).toContain('remember me\n')
    await run('rm note', '--disk', `${disk},ro`)
    expect((await run('cat note', '--disk', disk)).stdout).toContain('remember me\n')
  })

  it('measures', async () => {
    const disk = join(directory, 'bench.img')
    writeFileSync(disk, '')
    truncateSync(disk, 1 << 20)
    const { stdout } = await run('bench', '--disk', disk, '--memory', '80M')
    for (const name of [
      'null hypercall',
      'null system call',
      'context switch through a pipe',
      'copy-on-write fault',
      'fork, exit, wait',
      'exec',
      '64 MB walk, first touch of a page',
      '64 MB walk, a page touched again',
      'block read',
    ])
      expect(stdout).toMatch(new RegExp(`^${name}: [1-9]\\d* ns$`, 'm'))
  })

  it.each([
    ['hypercall', /Bad hypercall 99/],
    ['gdt', /too many gdt entries 32/],
    ['gdt-live', /Removed live GDT entry 12/],
    ['pagetable', /bad page table entry/],
    ['stack', /bad stack page/],
    ['bug', /crashed: pup panic: BUG at kernel\/crash\.c:\d+/],
    ['switcher-jump', /crashed: pup panic: .* at eip ff[c-f]/],
    ['switcher-write', /crashed: pup panic: kernel page fault writing ff[c-f]/],
    ['virtqueue', /chain|loop|descriptor/i],
    ['pointer', /crashed: pup panic: kernel page fault writing bf000000 at eip c01/],
    ['idt', /bad IDT type 5/],
    ['init-twice', /already have lguest_data/],
  ])('crash %s ends in its reason', async (kind, reason) => {
    const { status, stderr } = await run(`crash ${kind}`)
    expect(stderr).toMatch(reason)
    expect(status).toBe(3)
  })
})
