/** How `kennel run` ends: its exit status, what it says, and its statistics. */
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import type { RunStatistics } from './run-statistics.ts'
import { begin, beginGroup, kennel, KENNEL, node, path, statistics, useKennel } from './testing.ts'

useKennel()

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

  it('not by itself when its input has ended, but it says what it waits for', async () => {
    const run = begin('run', '--guests', '2')
    run.child.stdin?.end('uname\n')
    while (!run.errors().endsWith('\n')) await once(run.child.stderr ?? run.child, 'data')
    expect(run.errors()).toBe(
      'kennel: 2 guests wait for input, but standard input has ended; SIGTERM or Ctrl-C ends the run\n',
    )
    run.child.kill()
    expect(await run.ended).toBe('SIGTERM')
    // The lines they have begun are printed, too.
    expect(run.text()).toContain('pup1: pup\n')
    expect(run.text().split('\n').slice(-3).sort()).toEqual(['', 'pup1: pup$ ', 'pup2: pup$ '])
  })

  it('with bin/kennel, when that is killed outright', async () => {
    const run = begin('run')
    await run.until('pup$')
    const closed = new Promise<string>((resolve) => run.child.once('close', () => resolve('nobody writes any more')))
    run.child.kill('SIGKILL')
    expect(await closed).toBe('nobody writes any more')
  })

  it('by ^C, which a terminal sends to bin/kennel and to the command, not before it has done its last things', async () => {
    const file = path('twice.json')
    const run = beginGroup('run', '--stats', file)
    await run.until('pup$')
    process.kill(-(run.child.pid ?? NaN), 'SIGINT')
    expect(await run.ended).toBe('SIGINT')
    expect(statistics(file).exit.reason).toBe('signal')
  })

  const flood = (): string[] => {
    writeFileSync(path('flood.img'), Buffer.alloc(4 << 20, 'much to read\n'))
    return ['--append', 'run="cat /dev/vda"', '--disk', `${path('flood.img')},ro`]
  }

  it.each([
    ['by the clock', []],
    ['in lockstep', ['--executor', 'lockstep']],
  ])('124 though nobody reads what it prints, %s', async (_, args) => {
    const run = begin('run', ...flood(), '--timeout', '3', ...args)
    run.child.stdout?.removeAllListeners('data').pause()
    run.child.stdin?.end()
    expect(await run.ended).toBe(124)
  })

  it('by a signal though nobody reads what it prints in lockstep', async () => {
    const run = begin('run', ...flood(), '--executor', 'lockstep')
    run.child.stdin?.end()
    await run.until('much to read')
    run.child.stdout?.removeAllListeners('data').pause()
    run.child.kill()
    expect(await run.ended).toBe('SIGTERM')
  })

  it.skipIf(!existsSync('/dev/full')).each(['run', 'help'])('1 when standard output takes no more: %s', (command) => {
    const { status, stderr } = spawnSync(node, [KENNEL, command], {
      input: '',
      stdio: ['pipe', openSync('/dev/full', 'w'), 'pipe'],
      encoding: 'utf8',
    })
    expect(stderr).toMatch(/^kennel: standard output takes no more: ENOSPC.*\n$/)
    expect(status).toBe(1)
  })

  it('without a word when nobody reads the answer to a question', async () => {
    const help = begin('help')
    help.child.stdout?.destroy()
    expect([await help.ended, help.errors()]).toEqual([0, ''])
  })

  it('when nobody reads its output any more', async () => {
    const run = begin('run')
    await run.until('pup$')
    run.child.stdout?.destroy()
    run.child.stdin?.write('hexdump /bin/sh\nhexdump /bin/sh\n')
    expect(await run.ended).toBe(0)
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
    const exit = (): RunStatistics['exit'] => statistics(file).exit
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

  it.each([
    ['no/such/folder.json', 'its folder does not exist'],
    ['', 'it is a folder'],
  ])('that cannot be written to “%s” are refused before anything runs', (name, why) => {
    expect(kennel('poweroff\n', 'run', '--stats', path(name))).toEqual({
      status: 2,
      stdout: '',
      stderr: `kennel: The statistics cannot be written to ${path(name)}: ${why}.\n`,
    })
  })

  it.skipIf(!existsSync('/dev/full'))('that find no room at the end are a sentence and status 1', () => {
    const { status, stdout, stderr } = kennel('poweroff\n', 'run', '--stats', '/dev/full')
    expect(stderr).toMatch(/^kennel: the statistics could not be written to \/dev\/full: ENOSPC.*\n$/)
    expect(stdout).toMatch(/power down\n$/)
    expect(status).toBe(1)
  })

  it('leave a file alone when the run does not begin', () => {
    writeFileSync(path('old.json'), 'old')
    expect(kennel('', 'run', '--kernel', path('none'), '--stats', path('old.json')).status).toBe(2)
    expect(readFileSync(path('old.json'), 'utf8')).toBe('old')
  })
})
