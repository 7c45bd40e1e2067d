import { describe, expect, it } from 'vitest'
import { ConsoleOutput } from './output.ts'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

/** An output whose reader takes what was written only when told to. */
function slowReader(repeatable = false) {
  let text = ''
  const waiting: (() => void)[] = []
  const output = new ConsoleOutput(
    {
      write: (chunk, done) => {
        text += new TextDecoder().decode(chunk)
        waiting.push(done)
      },
    },
    repeatable,
  )
  return { output, text: () => text, read: () => waiting.splice(0).forEach((done) => done()) }
}

describe('console output', () => {
  it('passes one guest’s bytes as they are', () => {
    const { output, text } = slowReader()
    const sink = output.plain()
    sink.write(bytes('a\r\nb'))
    expect(text()).toBe('a\r\nb')
  })

  it('makes the guest wait while nobody reads, and says when there is room again', () => {
    const { output, read } = slowReader()
    const sink = output.plain()
    let told = 0
    output.onRoom = () => told++
    const room = sink.room?.() ?? 0
    sink.write(new Uint8Array(room))
    expect(sink.room?.()).toBe(0)
    read()
    expect(told).toBe(1)
    expect(sink.room?.()).toBe(room)
  })

  it('prefixes whole lines of several guests', () => {
    const { output, text } = slowReader()
    const one = output.prefixed('one')
    const two = output.prefixed('two')
    one.write(bytes('hel'))
    two.write(bytes('good\r\nbye\n'))
    one.write(bytes('lo\n'))
    one.write(bytes('rest'))
    one.end()
    two.end()
    expect(text()).toBe('two: good\ntwo: bye\none: hello\none: rest\n')
  })

  it('does not keep a line that never ends', () => {
    const { output, text } = slowReader()
    const sink = output.prefixed('x')
    for (let i = 0; i < 100; i++) sink.write(bytes('y'.repeat(100)))
    expect(text().length).toBeGreaterThan(8000)
  })

  it('prints an endless line in parts of 4096, each with its name, and loses nothing', () => {
    const { output, text } = slowReader()
    const sink = output.prefixed('x')
    sink.write(bytes('y'.repeat(4096)))
    sink.write(bytes('zz'))
    sink.end()
    expect(text()).toBe(`x: ${'y'.repeat(4096)}\nx: zz\n`)
  })

  it('keeps empty lines, and drops carriage returns only', () => {
    const { output, text } = slowReader()
    const sink = output.prefixed('x')
    sink.write(bytes('\r\n\na\rb\tc\x1b[1md\r\n'))
    expect(text()).toBe('x: \nx: \nx: ab\tc\x1b[1md\n')
  })

  it('puts a character together whose bytes come one by one', () => {
    const { output, text } = slowReader()
    const sink = output.prefixed('x')
    for (const byte of bytes('ü→🐕\n')) sink.write(Uint8Array.of(byte))
    expect(text()).toBe('x: ü→🐕\n')
  })

  it('has nothing to print at the end of a guest that ended its last line, and nothing twice', () => {
    const { output, text } = slowReader()
    const silent = output.prefixed('silent')
    const sink = output.prefixed('x')
    sink.write(bytes('done\n'))
    sink.end()
    silent.end()
    expect(text()).toBe('x: done\n')
    sink.write(bytes('pup$ '))
    expect(text()).toBe('x: done\n')
    sink.end()
    sink.end()
    expect(text()).toBe('x: done\nx: pup$ \n')
  })

  it('says that there is room only to those who had none', () => {
    const { output, read } = slowReader()
    const sink = output.plain()
    let told = 0
    output.onRoom = () => told++
    sink.write(bytes('a little'))
    read()
    expect(told).toBe(0)
    // Several guests share the room.
    output.prefixed('other').write(bytes(`${'y'.repeat(100)}\n`))
    expect(sink.room?.()).toBe(1024 * 1024 - 'other: '.length - 101)
  })

  it('lets a repeatable run not notice who reads: there is room, and the computer waits', () => {
    const { output, read } = slowReader(true)
    const sink = output.plain()
    expect(output.full).toBe(false)
    sink.write(new Uint8Array(1024 * 1024 - 1))
    expect(output.full).toBe(false)
    sink.write(new Uint8Array(1))
    expect([output.full, sink.room?.()]).toEqual([true, Infinity])
    read()
    expect(output.full).toBe(false)
  })

  it('is drained when everything before has been taken', async () => {
    const { output, read } = slowReader()
    output.plain().write(bytes('last words'))
    let drained = false
    const waiting = output.drained().then(() => (drained = true))
    await Promise.resolve()
    expect(drained).toBe(false)
    read()
    await waiting
    expect(drained).toBe(true)
  })
})
