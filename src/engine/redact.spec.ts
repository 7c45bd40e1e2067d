import { expect, it } from 'vitest'
import { redact, redactAll } from './redact.ts'

const of = { kennel: '/home/anna/.local/share/kennel', home: '/home/anna', user: 'anna' }

it.each([
  ['/home/anna/.local/share/kennel/library/pup-1 is gone', '<kennel>/library/pup-1 is gone'],
  ['The kernel file /home/anna/vmlinux cannot be read.', 'The kernel file <home>/vmlinux cannot be read.'],
  ['The disk /media/anna/stick/a.img', 'The disk /media/<user>/stick/a.img'],
  ['C:\\Users\\anna\\a.img', 'C:\\Users\\<user>\\a.img'],
  ['“anna” is running', '“anna” is running'],
  ['root=/dev/vda luks.password=hunter2 quiet', 'root=/dev/vda luks.password=<hidden> quiet'],
  ['api_token="a b" x', 'api_token=<hidden> x'],
  ['console=hvc0', 'console=hvc0'],
])('%j is reported as %j', (text, safe) => {
  expect(redact(text, of)).toBe(safe)
})

it('is done through and through', () => {
  expect(redactAll({ a: [{ b: '/home/anna' }, 7, null], c: true }, of)).toEqual({
    a: [{ b: '<home>' }, 7, null],
    c: true,
  })
  expect(redact('nothing of a user called /', { kennel: '', home: '/', user: 'a' })).toBe('nothing of a user called /')
})
