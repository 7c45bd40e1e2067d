/**
 * Real silicon as a test subject: builds the oracle (guests/silicon/oracle.c) with the system compiler and runs cases on it.
 * Where that does not work (no gcc, no -m32, another architecture, a kernel without 32-bit programs) `startOracle` says why,
 * and tests that want it are skipped by that name.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  CASE_SIZE,
  decodeHeader,
  decodeResult,
  encodeCase,
  HEADER_SIZE,
  type Greeting,
  RESULT_SIZE,
  type TestCase,
  type TestResult,
} from './protocol.ts'

export interface Oracle extends Greeting {
  /** Runs all cases in one process, in order. Throws when the oracle dies, naming the case it died in. */
  run(cases: readonly TestCase[]): TestResult[]
  /** Removes the built program. */
  close(): void
}

const SOURCE = fileURLToPath(new URL('../../../../guests/silicon/oracle.c', import.meta.url))
const FLAGS =
  '-m32 -O1 -nostdlib -ffreestanding -static -fno-pie -no-pie -fno-stack-protector -mgeneral-regs-only'.split(' ')
const MAX_OUTPUT = 1 << 30

/** Builds the oracle and greets it; a string says why there is none on this machine. */
export function startOracle(): Oracle | string {
  if (process.platform !== 'linux' || process.arch !== 'x64') return 'not x86 Linux'
  const directory = mkdtempSync(join(tmpdir(), 'kennel-oracle-'))
  const program = join(directory, 'oracle')
  const close = (): void => rmSync(directory, { recursive: true, force: true })
  const refuse = (reason: string): string => {
    close()
    return reason
  }
  const build = spawnSync('gcc', [...FLAGS, '-o', program, SOURCE], { encoding: 'utf8' })
  if (build.status !== 0) return refuse('gcc -m32 does not work')
  const greeting = spawnSync(program, { input: new Uint8Array(0) })
  if (greeting.status !== 0) return refuse('32-bit programs do not run')
  return { ...decodeHeader(viewOf(greeting.stdout)), run: (cases) => runCases(program, cases), close }
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

function runCases(program: string, cases: readonly TestCase[]): TestResult[] {
  const input = new Uint8Array(cases.length * CASE_SIZE)
  const view = viewOf(input)
  cases.forEach((test, i) => encodeCase(test, view, i * CASE_SIZE))
  const { stdout, status, signal } = spawnSync(program, { input, maxBuffer: MAX_OUTPUT })
  const done = Math.floor((stdout.length - HEADER_SIZE) / RESULT_SIZE)
  if (status !== 0 || done !== cases.length) {
    throw new Error(`the oracle ended with ${String(signal ?? status)} near case ${done} of ${cases.length}`)
  }
  const output = viewOf(stdout)
  return cases.map((test, i) => decodeResult(output, HEADER_SIZE + i * RESULT_SIZE, test))
}
