/** bin/kennel in a checkout where it cannot build itself. */
import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { KENNEL } from './testing.ts'

let root: string

beforeEach(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), 'kennel-checkout-')))
  for (const folder of ['bin', 'src/cli']) mkdirSync(join(root, folder), { recursive: true })
  copyFileSync(KENNEL, join(root, 'bin/kennel'))
  writeFileSync(join(root, 'src/cli/main.ts'), 'console.log("new")')
})
afterEach(() => rmSync(root, { recursive: true, force: true }))

function command(): { status: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(root, 'bin/kennel')], { encoding: 'utf8' })
  return { status, stdout, stderr }
}

describe('bin/kennel', () => {
  it('asks for npm ci when the packages are missing', () => {
    const stderr = `kennel: the packages are missing; run “npm ci” in ${root} first.\n`
    expect(command()).toEqual({ status: 1, stdout: '', stderr })
  })

  it('says so when there is no place for what it builds', () => {
    symlinkSync(join(import.meta.dirname, '../../node_modules'), join(root, 'node_modules'))
    writeFileSync(join(root, 'out'), 'a file where the folder should be')
    const { status, stderr } = command()
    expect(stderr).toMatch(/^kennel: .*\/out cannot be written to \(\w+\), and Kennel builds itself there; make it /)
    expect(status).toBe(1)
  })
})
