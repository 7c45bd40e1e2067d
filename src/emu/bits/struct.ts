/**
 * struct(): the one way a structure in emulated memory is described. A layout is declared once, in src/emu/layout;
 * offsets, size, typed views and the names the assembler knows are all derived from that declaration.
 *
 *   export const LguestTss = struct('tss', { back_link: 'u16', __blh: 'u16', esp0: 'u32', ... })
 *   LguestTss.size            // 104
 *   LguestTss.offset.esp0     // 4
 *   const tss = LguestTss.at(mem, hpa)   // a view: no state but its address, can be rebuilt at any time
 *   tss.esp0 = 0xffc02000
 *
 * Fields are laid out in order without padding (write the padding down); the stated size, where given, is checked at
 * load. `[type, n]` is an array: its view property is a StructArray with get(i)/set(i, v). A nested struct is a view.
 */
import { assert } from './assert.ts'

/** Memory a view can read and write: little-endian, addresses in bytes; unaligned access is allowed. */
export interface ByteMemory {
  read8(address: number): number
  read16(address: number): number
  read32(address: number): number
  write8(address: number, value: number): void
  write16(address: number, value: number): void
  write32(address: number, value: number): void
}

export type ScalarType = 'u8' | 'u16' | 'u32' | 's32' | 'u64'
const SCALAR_SIZE: Record<ScalarType, number> = { u8: 1, u16: 2, u32: 4, s32: 4, u64: 8 }

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- a struct nests structs of any field set
type AnyStruct = Struct<any>
export type FieldType = ScalarType | AnyStruct | readonly [ScalarType | AnyStruct, number]
export type Fields = Record<string, FieldType>

/** An array inside a structure; indices are checked. */
export interface ScalarArray {
  readonly length: number
  readonly address: number
  get(index: number): number
  set(index: number, value: number): void
}
export interface ViewArray<V> {
  readonly length: number
  at(index: number): V
}

type ValueOf<T> = T extends ScalarType
  ? number
  : T extends Struct<infer F>
    ? View<F>
    : T extends readonly [infer E, number]
      ? E extends ScalarType
        ? ScalarArray
        : E extends Struct<infer F>
          ? ViewArray<View<F>>
          : never
      : never

/** A typed window on one structure in memory. `$address` is where it starts, `$mem` the memory it is in. */
export type View<F extends Fields> = { -readonly [K in keyof F]: ValueOf<F[K]> } & {
  readonly $address: number
  readonly $mem: ByteMemory
}

export interface Struct<F extends Fields> {
  readonly name: string
  readonly size: number
  readonly offset: { readonly [K in keyof F]: number }
  readonly fields: F
  /** A view of the structure at `address` of `mem`. */
  at(mem: ByteMemory, address: number): View<F>
}

/** The view type of a struct: `type LguestView = ViewOf<typeof Lguest>`. */
export type ViewOf<S> = S extends Struct<infer F> ? View<F> : never

interface RawView {
  $mem: ByteMemory
  $address: number
}

function isStruct(type: unknown): type is AnyStruct {
  return typeof type === 'object' && type !== null && 'fields' in type
}

function sizeOf(type: FieldType): number {
  if (typeof type === 'string') return SCALAR_SIZE[type]
  if (isStruct(type)) return type.size
  return sizeOf(type[0] as FieldType) * type[1]
}

function scalarArray(mem: ByteMemory, address: number, type: ScalarType, length: number): ScalarArray {
  const step = SCALAR_SIZE[type]
  const check = (i: number): number => {
    assert(i >= 0 && i < length, `array index ${i} of ${length}`)
    return address + i * step
  }
  return {
    length,
    address,
    get: (i) => readScalar(mem, check(i), type),
    set: (i, value) => writeScalar(mem, check(i), type, value),
  }
}

function readScalar(mem: ByteMemory, address: number, type: ScalarType): number {
  switch (type) {
    case 'u8':
      return mem.read8(address)
    case 'u16':
      return mem.read16(address)
    case 'u32':
      return mem.read32(address) >>> 0
    case 's32':
      return mem.read32(address) | 0
    case 'u64':
      return (mem.read32(address) >>> 0) + (mem.read32(address + 4) >>> 0) * 0x1_0000_0000
  }
}

function writeScalar(mem: ByteMemory, address: number, type: ScalarType, value: number): void {
  switch (type) {
    case 'u8':
      return mem.write8(address, value)
    case 'u16':
      return mem.write16(address, value)
    case 'u32':
    case 's32':
      return mem.write32(address, value)
    case 'u64':
      mem.write32(address, value >>> 0)
      return mem.write32(address + 4, Math.floor(value / 0x1_0000_0000) >>> 0)
  }
}

function accessor(type: FieldType, offset: number): PropertyDescriptor & ThisType<RawView> {
  if (typeof type === 'string') {
    // One closure for each width, so that each property stays monomorphic in the engine's eyes.
    switch (type) {
      case 'u32':
        return {
          get() {
            return this.$mem.read32(this.$address + offset) >>> 0
          },
          set(v: number) {
            this.$mem.write32(this.$address + offset, v)
          },
        }
      default:
        return {
          get() {
            return readScalar(this.$mem, this.$address + offset, type)
          },
          set(v: number) {
            writeScalar(this.$mem, this.$address + offset, type, v)
          },
        }
    }
  }
  if (isStruct(type)) {
    return {
      get() {
        return type.at(this.$mem, this.$address + offset) as unknown
      },
    }
  }
  const [element, length] = type
  return {
    get() {
      const base = this.$address + offset
      if (isStruct(element)) {
        const mem = this.$mem
        return {
          length,
          at(i: number): unknown {
            assert(i >= 0 && i < length, `array index ${i} of ${length}`)
            return element.at(mem, base + i * element.size)
          },
        }
      }
      return scalarArray(this.$mem, base, element as ScalarType, length)
    },
  }
}

/** Declares a structure. `statedSize`, in bytes, is checked when the module loads. */
export function struct<const F extends Fields>(name: string, fields: F, statedSize?: number): Struct<F> {
  const offset = {} as Record<string, number>
  class StructView {
    readonly $mem: ByteMemory
    readonly $address: number
    constructor(mem: ByteMemory, address: number) {
      this.$mem = mem
      this.$address = address
    }
  }
  let size = 0
  for (const [field, type] of Object.entries(fields)) {
    offset[field] = size
    Object.defineProperty(StructView.prototype, field, { enumerable: true, ...accessor(type, size) })
    size += sizeOf(type)
  }
  assert(statedSize === undefined || statedSize === size, `struct ${name} is ${size} bytes, not ${statedSize}`)
  return {
    name,
    size,
    offset: offset as { readonly [K in keyof F]: number },
    fields,
    at: (mem, address) => new StructView(mem, address) as unknown as View<F>,
  }
}
