/**
 * A number for the whole state of a machine: CPU state blocks (registers, FPU, APIC) and RAM, not the TLBs, which are caches. Two runs
 * of the same inputs under the lockstep executor and virtual time must give the same hash.
 *
 * 64 bits as two independent 32-bit multiply-and-rotate sums; zero pages cost one pass over them and count by their absence.
 */
import { PAGE_SIZE } from '../layout/x86.ts'
import type { Machine } from './machine.ts'

const WORDS = PAGE_SIZE >> 2

/** 16 hexadecimal digits. */
export function stateHash(machine: Machine): string {
  const { mem } = machine
  const sum = { a: 0x9e3779b9 | 0, b: 0x85ebca6b | 0 }
  for (const cpu of machine.cpus) mixPage(sum, mem.i32, cpu.stateAddress >> 2, cpu.id)
  const base = mem.ramBase >> 2
  for (let page = 0; page < mem.ramSize / PAGE_SIZE; page++) mixPage(sum, mem.i32, base + page * WORDS, page)
  return hex(sum.a) + hex(sum.b)
}

function mixPage(sum: { a: number; b: number }, words: Int32Array, start: number, number: number): void {
  let i = start
  const end = start + WORDS
  while (i < end && words[i] === 0) i++
  if (i === end) return
  let a = sum.a ^ number
  let b = sum.b + number
  for (i = start; i < end; i++) {
    const word = words[i]
    a = Math.imul(a ^ word, 0x01000193)
    a = (a << 13) | (a >>> 19)
    b = Math.imul(b + word, 0x5bd1e995)
    b ^= b >>> 15
  }
  sum.a = a
  sum.b = b
}

function hex(value: number): string {
  return (value >>> 0).toString(16).padStart(8, '0')
}
