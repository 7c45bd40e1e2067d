/** Standard input: what the class does, and `kennel run` on a real terminal. */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { PassThrough } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { Terminal } from './terminal.ts'
import { KENNEL, NEVER, node, useKennel } from './testing.ts'

useKennel()

describe('a pipe', () => {
  const open = () => {
    const pipe = new PassThrough()
    const terminal = new Terminal(pipe)
    let [text, left] = ['', false]
    terminal.open(
      (bytes) => (text += Buffer.from(bytes).toString('latin1')),
      () => (left = true),
    )
    const flow = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
    return { pipe, terminal, text: () => text, left: () => left, flow }
  }

  it('gives every byte as it is, and its end is not the end of the run', async () => {
    const { pipe, terminal, text, left, flow } = open()
    const all = Buffer.from(Array.from({ length: 256 }, (_, i) => i))
    pipe.end(all)
    await flow()
    expect(text()).toBe(all.toString('latin1'))
    expect([terminal.ended, left()]).toEqual([true, false])
  })

  it('is not read while the guest has enough, and loses nothing', async () => {
    const { pipe, terminal, text, flow } = open()
    pipe.write('one ')
    await flow()
    terminal.hold(true)
    terminal.hold(true)
    pipe.write('two ')
    await flow()
    expect(text()).toBe('one ')
    terminal.hold(false)
    pipe.end('three')
    await flow()
    expect(text()).toBe('one two three')
  })

  it('is all there for a repeatable run, unless it is too much', async () => {
    const pipe = new PassThrough()
    pipe.write('one ')
    pipe.end('two')
    const terminal = new Terminal(pipe)
    expect(Buffer.from(await terminal.readAll(7)).toString()).toBe('one two')
    expect(terminal.ended).toBe(true)
    const endless = new PassThrough()
    endless.write('eight is')
    await expect(new Terminal(endless).readAll(7)).rejects.toThrow('this is more, or without an end.')
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
elif how == 'sudden':
    # The command itself, below bin/kennel.
    children = [entry for entry in os.listdir('/proc') if entry.isdigit() and os.path.exists('/proc/' + entry + '/stat')]
    parents = {int(entry): int(open('/proc/' + entry + '/stat').read().rsplit(')', 1)[1].split()[1]) for entry in children}
    [os.kill(child, signal.SIGKILL) for child, parent in parents.items() if parent == pid]
else:
    os.kill(pid, getattr(signal, how))
_, status = os.waitpid(pid, 0)
print('status', os.waitstatus_to_exitcode(status), 'modes', 'same' if termios.tcgetattr(slave) == before else 'changed')
`
  const python = spawnSync('python3', ['-c', 'import pty']).status === 0
  const onTerminal = (how: string): string => {
    const args = ['-c', script, node, KENNEL, how]
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

  it.skipIf(!python || !existsSync('/proc/self/stat'))(
    'puts the terminal back even when the command is killed outright',
    () => {
      expect(onTerminal('sudden')).toBe('status 137 modes same\n')
    },
  )
})
