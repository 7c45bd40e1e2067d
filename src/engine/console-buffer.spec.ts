import { existsSync } from 'node:fs'
import { mkdtemp, readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { CONSOLE_WINDOW } from '../shared/frames.ts'
import { ConsoleBuffer } from './console-buffer.ts'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

function view(channel: number): { channel: number; got: string; send(b: Uint8Array): void } {
  return {
    channel,
    got: '',
    send(b) {
      this.got += new TextDecoder().decode(b)
    },
  }
}

describe('ConsoleBuffer', () => {
  it('keeps text and scrollback without any view', async () => {
    const buffer = new ConsoleBuffer({ scrollback: 1000 })
    for (let i = 0; i < 100; i++) buffer.write(bytes(`line ${i}\r\n`))
    expect((await buffer.text()).split('\n')).toEqual(Array.from({ length: 100 }, (_, i) => `line ${i}`))
  })

  it('gives a late view the screen so far and then exactly what comes after', async () => {
    const buffer = new ConsoleBuffer({ scrollback: 1000 })
    buffer.write(bytes('before\r\n'))
    const late = view(1)
    const screen = await buffer.attach(late)
    buffer.write(bytes('after\r\n'))
    expect(screen).toContain('before')
    expect(screen).not.toContain('after')
    expect(late.got).toBe('after\r\n')
  })

  it('makes the guest wait while a view is being attached', async () => {
    const buffer = new ConsoleBuffer({ scrollback: 1000 })
    buffer.write(bytes('x'))
    const attached = buffer.attach(view(1))
    expect(buffer.room()).toBe(0)
    await attached
    expect(buffer.room()).toBeGreaterThan(0)
  })

  it('lets the slowest view decide how much the guest may write, until it has credit again', async () => {
    const buffer = new ConsoleBuffer({ scrollback: 100 })
    await buffer.attach(view(1))
    await buffer.attach(view(2))
    const chunk = bytes('a'.repeat(64 * 1024))
    let sent = 0
    while (buffer.room() >= chunk.length) {
      buffer.write(chunk)
      sent += chunk.length
      await buffer.text() // the terminal itself keeps up
    }
    expect(sent).toBe(CONSOLE_WINDOW)
    buffer.credit(1, sent)
    expect(buffer.room()).toBe(0)
    let room = 0
    buffer.onRoom = () => (room = buffer.room())
    buffer.credit(2, sent)
    expect(room).toBeGreaterThan(0)
  })

  it('frees the guest when a stalled view goes away', async () => {
    const buffer = new ConsoleBuffer({ scrollback: 100 })
    await buffer.attach(view(7))
    buffer.write(bytes('b'.repeat(CONSOLE_WINDOW)))
    await buffer.text()
    expect(buffer.room()).toBe(0)
    buffer.detach(7)
    expect(buffer.room()).toBeGreaterThan(0)
  })

  it('does not let a view that sleeps hold the guest, and shows it everything when it wakes', async () => {
    const buffer = new ConsoleBuffer({ scrollback: 100, patienceMs: 1 })
    const asleep = view(1)
    let awake = ''
    await buffer.attach(asleep)
    await buffer.attach({
      channel: 2,
      send: (output) => {
        awake += new TextDecoder().decode(output)
        buffer.credit(2, output.length)
      },
    })
    const flood = 'd'.repeat(CONSOLE_WINDOW)
    buffer.write(bytes(flood))
    const roomAgain = new Promise<void>((resolve) => (buffer.onRoom = resolve))
    await roomAgain
    await expect.poll(() => buffer.room()).toBe(CONSOLE_WINDOW)
    buffer.write(bytes('\r\nmissed\r\n'))
    expect(asleep.got).toBe(flood)
    expect(awake).toBe(`${flood}\r\nmissed\r\n`)
    asleep.got = ''
    buffer.credit(1, CONSOLE_WINDOW)
    await expect.poll(() => asleep.got).toMatch(/^\x1bc[^]*missed/)
    buffer.write(bytes('live'))
    expect(asleep.got).toMatch(/live$/)
    // What it was shown anew counts like any output.
    expect(buffer.room()).toBeLessThan(CONSOLE_WINDOW - 'live'.length)
    await buffer.dispose()
  })

  it('copies everything to a log file while asked to', async () => {
    const path = join(await mkdtemp(join(tmpdir(), 'kennel-')), 'console.log')
    const buffer = new ConsoleBuffer({ scrollback: 100 })
    buffer.write(bytes('not logged\r\n'))
    await buffer.logTo(path)
    buffer.write(bytes('logged \x1b[31mred\x1b[0m\r\n'))
    await buffer.logTo(null)
    buffer.write(bytes('not logged either\r\n'))
    expect(await readFile(path, 'utf8')).toBe('logged \x1b[31mred\x1b[0m\r\n')
  })

  it('tells of the bell', async () => {
    const buffer = new ConsoleBuffer({ scrollback: 100 })
    let bells = 0
    buffer.onBell = () => bells++
    buffer.write(bytes('\x07'))
    await buffer.text()
    expect(bells).toBe(1)
  })

  it.skipIf(!existsSync('/dev/full'))('goes on without a log whose disk is full, and says so', async () => {
    const buffer = new ConsoleBuffer({ scrollback: 100 })
    const failed = new Promise<string>(
      (resolve) => (buffer.onLogFailed = (path, error) => resolve(`${path}: ${error.message}`)),
    )
    await buffer.logTo('/dev/full')
    buffer.write(bytes('c'.repeat(CONSOLE_WINDOW)))
    expect(await failed).toMatch(/^\/dev\/full: ENOSPC/)
    await buffer.text()
    expect(buffer.logFile).toBeNull()
    expect(buffer.room()).toBe(CONSOLE_WINDOW)
    buffer.write(bytes('more'))
    expect(await buffer.text()).toContain('more')
  })
})
