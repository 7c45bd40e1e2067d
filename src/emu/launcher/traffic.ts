/** What a guest's disks and network card have moved, in bytes: counted where they meet the outside world. */
import type { BlockBackend } from './block-backend.ts'
import type { SwitchPort } from './switch.ts'

export interface Traffic {
  diskRead: number
  diskWritten: number
  netSent: number
  netReceived: number
}

/** A guest's counters; `disk` counts a backend's bytes in them. */
export class TrafficCounter {
  private diskRead = 0
  private diskWritten = 0
  private port: SwitchPort | undefined

  disk(backend: BlockBackend): BlockBackend {
    return {
      size: backend.size,
      readOnly: backend.readOnly,
      read: (offset, length) => {
        const bytes = backend.read(offset, length)
        this.diskRead += bytes.length
        return bytes
      },
      write: (offset, bytes) => {
        backend.write(offset, bytes)
        this.diskWritten += bytes.length
      },
      flush: () => backend.flush(),
    }
  }

  network(port: SwitchPort): void {
    this.port = port
  }

  get now(): Traffic {
    const { sentBytes = 0, receivedBytes = 0 } = this.port?.stats ?? {}
    return { diskRead: this.diskRead, diskWritten: this.diskWritten, netSent: sentBytes, netReceived: receivedBytes }
  }
}
