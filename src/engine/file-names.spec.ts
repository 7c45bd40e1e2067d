import { describe, expect, it } from 'vitest'
import { assertPlainName, numberedName, portableName } from './file-names.ts'

describe('a name from outside', () => {
  it.each(['', '.', '..', 'a/b', '/etc/passwd', '..\\evil', 'nul\0', 'line\n', '\u007f'])('%j is refused', (name) => {
    expect(() => assertPlainName(name)).toThrow(`“${name}” is not a plain file name.`)
  })

  it.each([
    ['vmlinuz-2.6.31', 'vmlinuz-2.6.31'],
    ['Größe 犬.img', 'Größe 犬.img'],
    ['e\u0301.img', 'é.img'],
    ['.hidden', 'hidden'],
    ['...', 'file'],
    ['back\\slash', 'back_slash'],
    ['a:stream', 'a_stream'],
    ['NUL', '_NUL'],
    ['con.img', '_con.img'],
    ['console.img', 'console.img'],
    ['trailing. .', 'trailing'],
    ['ü'.repeat(200) + '.img', 'ü'.repeat(98) + '.img'],
    ['🐕'.repeat(100), '🐕'.repeat(50)],
  ])('%j becomes %j', (name, portable) => {
    expect(portableName(name)).toBe(portable)
    expect(portableName(portable)).toBe(portable)
  })

  it('is numbered before its ending', () => {
    expect([1, 2, 3].map((n) => numberedName('disk.img', n))).toEqual(['disk.img', 'disk-2.img', 'disk-3.img'])
    expect(numberedName('vmlinux', 2)).toBe('vmlinux-2')
  })
})
