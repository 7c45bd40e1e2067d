/**
 * An array of bytes as a ByteMemory, so that struct() layouts can be laid over files and messages.
 */
import type { ByteMemory } from './struct.ts'

export class Bytes implements ByteMemory {
  readonly bytes: Uint8Array
  private readonly view: DataView

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  read8(address: number): number {
    return this.view.getUint8(address)
  }

  read16(address: number): number {
    return this.view.getUint16(address, true)
  }

  read32(address: number): number {
    return this.view.getInt32(address, true)
  }

  write8(address: number, value: number): void {
    this.view.setUint8(address, value)
  }

  write16(address: number, value: number): void {
    this.view.setUint16(address, value, true)
  }

  write32(address: number, value: number): void {
    this.view.setInt32(address, value, true)
  }
}
