import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { FileLog } from './log.ts'

let folder: string
const at = (): Date => new Date('2026-11-01T10:00:00Z')

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'kennel-log-'))
  vi.spyOn(console, 'error').mockImplementation(() => undefined)
})
afterEach(() => {
  vi.restoreAllMocks()
  rmSync(folder, { recursive: true, force: true })
})

it('writes one line an entry, whatever the text has in it', () => {
  const log = new FileLog(join(folder, 'logs'), at)
  log.write('info', 'started')
  log.write('error', 'engine: a\n2026-11-01T10:00:00.000Z info forged\u001b[2J\r\n')
  expect(readFileSync(join(folder, 'logs/main.log'), 'utf8')).toBe(
    '2026-11-01T10:00:00.000Z info started\n' +
      '2026-11-01T10:00:00.000Z error engine: a 2026-11-01T10:00:00.000Z info forged [2J\n',
  )
  expect(console.error).toHaveBeenCalledTimes(1)
})

it('sets a long log aside, once', () => {
  const log = new FileLog(folder, at)
  writeFileSync(join(folder, 'main.log'), 'x'.repeat(513 * 1024))
  log.write('info', 'next')
  expect(readFileSync(join(folder, 'main.log'), 'utf8')).toBe('2026-11-01T10:00:00.000Z info next\n')
  expect(statSync(join(folder, 'main.older.log')).size).toBe(513 * 1024)
})

it('goes on without a place to write to', () => {
  writeFileSync(join(folder, 'file'), '')
  const log = new FileLog(join(folder, 'file', 'logs'), at)
  log.write('warn', 'still here')
  expect(existsSync(join(folder, 'file', 'logs'))).toBe(false)
  expect(console.error).toHaveBeenLastCalledWith('2026-11-01T10:00:00.000Z warn still here')
})
