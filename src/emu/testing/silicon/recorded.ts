/**
 * Opens the committed recording of silicon (recording.ts has its format). The file is made by scripts/record-silicon.mjs.
 */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { brotliDecompressSync } from 'node:zlib'
import { decodeRecording, type Recording } from './recording.ts'

const FILE = fileURLToPath(new URL('./recorded/i686.bin.br', import.meta.url))

/** Throws StaleRecording when the generator has changed since. */
export function openRecording(): Recording {
  return decodeRecording(brotliDecompressSync(readFileSync(FILE)))
}
