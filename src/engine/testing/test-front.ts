/** A front for tests: typed requests, a memory of every event, consoles as text. */
import type { Duplex } from '../../shared/duplex.ts'
import { decodeFrame, encodeCredit, encodeFrame, FRAME_INPUT, FRAME_OUTPUT } from '../../shared/frames.ts'
import type { GuestState, GuestSummary } from '../../shared/guest.ts'
import {
  MAX_PIECE,
  type EventName,
  type Events,
  type Job,
  type Method,
  type Params,
  type ProtocolError,
  type Results,
} from '../../shared/protocol.ts'

interface Reply {
  id?: number
  result?: unknown
  error?: ProtocolError
  event?: EventName
  data?: unknown
}

export class TestFront {
  private readonly duplex: Duplex
  private readonly pending = new Map<number, (reply: Reply) => void>()
  private readonly seen: { event: EventName; data: unknown }[] = []
  private readonly consoles = new Map<number, TestConsole>()
  private readonly early = new Map<number, Uint8Array[]>()
  private waiters: (() => void)[] = []
  private nextId = 1000
  private rawWaiter: ((text: string) => void) | null = null

  constructor(duplex: Duplex) {
    this.duplex = duplex
    duplex.onMessage((frame) => {
      if (typeof frame !== 'string') return this.output(frame)
      const reply = JSON.parse(frame) as Reply
      if (reply.event !== undefined) {
        this.seen.push({ event: reply.event, data: reply.data })
        for (const wake of this.waiters.splice(0)) wake()
      } else if (this.pending.has(reply.id ?? 0)) this.pending.get(reply.id ?? 0)?.(reply)
      else this.rawWaiter?.(frame)
    })
  }

  request<M extends Method>(method: M, params: Params<M>): Promise<Results[M]> {
    const id = this.nextId++
    return new Promise((resolve, reject) => {
      this.pending.set(id, ({ result, error }) => {
        this.pending.delete(id)
        if (error) reject(new Error(error.message))
        else resolve(result as Results[M])
      })
      this.duplex.send(JSON.stringify({ id, method, params }))
    })
  }

  /** Sends anything; the answer's text. */
  raw(message: string): Promise<string> {
    return new Promise((resolve) => {
      this.rawWaiter = resolve
      this.duplex.send(message)
    })
  }

  events<E extends EventName>(event: E): Events[E][] {
    return this.seen.filter((each) => each.event === event).map((each) => each.data as Events[E])
  }

  /** The first event, past or to come, that matches. */
  async untilEvent<E extends EventName>(event: E, matches: (data: Events[E]) => boolean): Promise<Events[E]> {
    for (;;) {
      const found = this.events(event).find(matches)
      if (found !== undefined) return found
      await new Promise<void>((resolve) => this.waiters.push(resolve))
    }
  }

  /** Waits until the guest's newest state is `state`. */
  async untilState(guestId: string, state: GuestState): Promise<GuestSummary> {
    for (;;) {
      const newest = this.events('guest').findLast((guest) => guest.id === guestId)
      if (newest?.state === state) return newest
      await new Promise<void>((resolve) => this.waiters.push(resolve))
    }
  }

  async openConsole(guestId: string): Promise<TestConsole> {
    const { channel, screen } = await this.request('console.attach', { guestId })
    const opened = new TestConsole(
      (bytes) => this.duplex.send(encodeFrame(FRAME_INPUT, channel, bytes)),
      (count) => this.duplex.send(encodeCredit(channel, count)),
    )
    opened.receive(new TextEncoder().encode(screen), false)
    this.consoles.set(channel, opened)
    for (const bytes of this.early.get(channel) ?? []) opened.receive(bytes, true)
    return opened
  }

  /** Sends a file as the page does; its staged name. */
  async upload(name: string, data: Uint8Array): Promise<string> {
    const { upload } = await this.request('files.begin', { name })
    for (let at = 0; at < data.length; at += MAX_PIECE) {
      const piece = Buffer.from(data.subarray(at, at + MAX_PIECE)).toString('base64')
      await this.request('files.append', { upload, data: piece })
    }
    return (await this.request('files.finish', { upload })).file
  }

  /** Waits for a job; throws its reason when it did not succeed. */
  async done({ job }: { job: Job }): Promise<Job> {
    const ended = await this.request('jobs.wait', { jobId: job.id })
    if (ended.state !== 'done') throw new Error(ended.error ?? ended.state)
    return ended
  }

  /** A guest's archive. */
  async export(guestId: string): Promise<Buffer> {
    const exported = await this.request('guests.export', { guestId })
    await this.done(exported)
    const { download } = exported
    const pieces: Buffer[] = []
    for (let offset = 0, size = 1; offset < size;) {
      const piece = await this.request('files.read', { download, offset })
      pieces.push(Buffer.from(piece.data, 'base64'))
      offset += pieces[pieces.length - 1].length
      size = piece.size
    }
    await this.request('files.release', { download })
    return Buffer.concat(pieces)
  }

  /** The id of the guest that was in an archive. */
  async import(archive: Uint8Array, name?: string): Promise<string> {
    const file = await this.upload('guest.kennel', archive)
    const { guestId } = await this.done(
      await this.request('guests.import', name === undefined ? { file } : { file, name }),
    )
    return guestId ?? ''
  }

  async clone(guestId: string): Promise<string> {
    return (await this.done(await this.request('guests.clone', { guestId }))).guestId ?? ''
  }

  close(): void {
    this.duplex.close()
  }

  private output(frame: Uint8Array): void {
    const decoded = decodeFrame(frame)
    if (decoded?.type !== FRAME_OUTPUT) return
    const opened = this.consoles.get(decoded.channel)
    if (opened) opened.receive(decoded.data, true)
    else this.early.set(decoded.channel, [...(this.early.get(decoded.channel) ?? []), decoded.data])
  }
}

/** A console's output as text. `until` looks only at what came after what it found last. */
export class TestConsole {
  text = ''
  received = 0
  private looked = 0
  private waiters: (() => void)[] = []
  private readonly send: (bytes: Uint8Array) => void
  private readonly credit: (count: number) => void

  constructor(send: (bytes: Uint8Array) => void, credit: (count: number) => void) {
    this.send = send
    this.credit = credit
  }

  type(text: string): void {
    this.send(new TextEncoder().encode(text))
  }

  receive(bytes: Uint8Array, counted: boolean): void {
    this.text += Buffer.from(bytes).toString('latin1')
    this.received += bytes.length
    if (counted) this.credit(bytes.length)
    for (const wake of this.waiters.splice(0)) wake()
  }

  async until(text: string): Promise<void> {
    for (;;) {
      const at = this.text.indexOf(text, this.looked)
      if (at >= 0) {
        this.looked = at + text.length
        return
      }
      await new Promise<void>((resolve) => this.waiters.push(resolve))
    }
  }
}
