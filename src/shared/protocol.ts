/**
 * The one protocol between a front (renderer, web client, command line, tests) and the engine process.
 *
 * Control messages are JSON text:   { id, method, params } → { id, result } | { id, error: { code, message } }
 *                                   { event, data }        (engine to front, unasked)
 * Console bytes are binary frames:  see frames.ts.
 *
 * REQUEST_PARAMS has a schema for the parameters of each method (validated by the engine on arrival); Results maps each
 * method to its result; Events maps each event to its data. Everything a front can do is in this file.
 */
import * as v from 'valibot'
import {
  GUEST_ACTIONS,
  GuestConfigSchema,
  GuestNameSchema,
  type GuestSummary,
  type QuarantinedEntry,
  type TrashEntry,
} from './guest.ts'
import type {
  Breakpoint,
  CpuSnapshot,
  DisassemblyLine,
  MemoryChunk,
  PageWalk,
  StopReason,
  SwitchEvent,
  TablesSnapshot,
} from './inspect.ts'

export const PROTOCOL_VERSION = 2

/** Bytes of a file in one message. Larger ones travel in pieces, so that no message holds up the others. */
export const MAX_PIECE = 1024 * 1024
/** Bytes of the longest message of a front; the engine's own may be longer (a console's screen, a report). */
export const MAX_MESSAGE = 8 * MAX_PIECE
/** Characters of a piece in base64. */
const MAX_PIECE_TEXT = Math.ceil(MAX_PIECE / 3) * 4

const id = v.pipe(v.string(), v.minLength(1), v.maxLength(128))
const guestRef = v.strictObject({ guestId: id })
const cpu = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(7))
const address = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(0xffffffff))
const nothing = v.strictObject({})
const scope = v.strictObject({ cpu: v.optional(cpu), guestId: v.optional(id) })
const space = v.variant('kind', [
  v.strictObject({ kind: v.literal('hostPhysical') }),
  v.strictObject({ kind: v.literal('cpuVirtual'), cpu }),
  v.strictObject({ kind: v.literal('guestPhysical'), guestId: id }),
  v.strictObject({ kind: v.literal('guestVirtual'), guestId: id }),
])
const breakpointSpec = v.variant('kind', [
  v.strictObject({ kind: v.literal('address'), address, scope }),
  v.strictObject({
    kind: v.literal('trap'),
    trap: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(256)),
    scope,
  }),
  v.strictObject({ kind: v.literal('hypercall'), number: v.pipe(v.number(), v.integer(), v.minValue(0)), scope }),
  v.strictObject({
    kind: v.literal('watch'),
    space,
    address,
    length: v.picklist([1, 2, 4]),
    access: v.picklist(['write', 'readWrite']),
  }),
])

/** Settings of the emulated host and of the app. The engine keeps them; fronts show them. */
export const SettingsSchema = v.strictObject({
  /** Host CPUs 1-8 and RAM in MiB: take effect when the host is started again. */
  cpus: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(8)), 2),
  hostRam: v.optional(v.pipe(v.number(), v.integer(), v.minValue(64), v.maxValue(2048), v.multipleOf(4)), 512),
  executor: v.optional(v.picklist(['lockstep']), 'lockstep'),
  /** Takes effect at the next world switch. */
  copy: v.optional(v.picklist(['elide', 'always']), 'elide'),
  theme: v.optional(v.picklist(['system', 'light', 'dark']), 'system'),
  consoleFontSize: v.optional(v.pipe(v.number(), v.integer(), v.minValue(8), v.maxValue(32)), 14),
  consoleFontFamily: v.optional(v.pipe(v.string(), v.maxLength(200)), 'monospace'),
  bell: v.optional(v.boolean(), true),
  scrollback: v.optional(v.pipe(v.number(), v.integer(), v.minValue(100), v.maxValue(100_000)), 5000),
  language: v.optional(v.picklist(['en']), 'en'),
})
export type Settings = v.InferOutput<typeof SettingsSchema>

export const REQUEST_PARAMS = {
  hello: v.strictObject({ protocol: v.number(), front: v.picklist(['app', 'web', 'cli', 'test']) }),

  'settings.get': nothing,
  'settings.set': v.strictObject({ settings: v.partial(SettingsSchema) }),

  'guests.list': nothing,
  'guests.create': v.strictObject({ config: GuestConfigSchema, start: v.optional(v.boolean(), false) }),
  'guests.update': v.strictObject({ guestId: id, config: GuestConfigSchema }),
  'guests.clone': v.strictObject({ guestId: id, name: v.optional(GuestNameSchema) }),
  'guests.delete': guestRef,
  'guests.undelete': guestRef,
  'guests.act': v.strictObject({ guestId: id, action: v.picklist(GUEST_ACTIONS) }),
  /** Packs the guest as one file (a .kennel archive), which can be read when the job is done. */
  'guests.export': guestRef,
  /** `file` is what files.finish gave, or the absolute path of an archive on the engine's computer. */
  'guests.import': v.strictObject({ name: v.optional(GuestNameSchema), file: v.pipe(v.string(), v.maxLength(4096)) }),

  /** Sends a file the user dropped or picked: begin, append piece after piece, finish. */
  'files.begin': v.strictObject({ name: v.pipe(v.string(), v.maxLength(255)) }),
  'files.append': v.strictObject({ upload: id, data: v.pipe(v.string(), v.maxLength(MAX_PIECE_TEXT)) }),
  'files.finish': v.strictObject({ upload: id }),
  'files.cancel': v.strictObject({ upload: id }),
  /** Fetches a file the engine made, at most MAX_PIECE bytes at a time, and lets it be forgotten. */
  'files.read': v.strictObject({ download: id, offset: v.pipe(v.number(), v.safeInteger(), v.minValue(0)) }),
  'files.release': v.strictObject({ download: id }),

  'trash.list': nothing,
  'trash.empty': nothing,

  'jobs.list': nothing,
  'jobs.cancel': v.strictObject({ jobId: id }),
  /** Answers when the job is over. */
  'jobs.wait': v.strictObject({ jobId: id }),

  /** Opens a view of a guest's console. The result's `channel` names it in binary frames. */
  'console.attach': v.strictObject({ guestId: id }),
  'console.detach': v.strictObject({ channel: v.number() }),
  'console.clear': guestRef,
  'console.text': guestRef,
  'console.log': v.strictObject({ guestId: id, enabled: v.boolean() }),

  'host.get': nothing,
  'host.restart': nothing,
  'host.migrate': v.strictObject({ guestId: id, cpu }),
  /** Live statistics: `stats` events at `hz` a second (0 stops them) for this connection. */
  'stats.subscribe': v.strictObject({ hz: v.pipe(v.number(), v.minValue(0), v.maxValue(10)) }),

  /** Live inspector: `inspect` events for this CPU at `hz` a second (0 stops). */
  'inspect.subscribe': v.strictObject({ cpu, hz: v.pipe(v.number(), v.minValue(0), v.maxValue(10)) }),
  'inspect.cpu': v.strictObject({ cpu }),
  'inspect.tables': v.strictObject({ cpu }),
  'inspect.memory': v.strictObject({
    space,
    address,
    length: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65536)),
  }),
  'inspect.disassemble': v.strictObject({
    space,
    address,
    count: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(500)),
  }),
  'inspect.walk': v.strictObject({ guestId: id, address }),
  'inspect.symbol': v.strictObject({ guestId: id, name: v.pipe(v.string(), v.maxLength(256)) }),
  /** World switches after sequence number `since` (at most `max`, newest last). */
  'inspect.timeline': v.strictObject({
    since: v.number(),
    max: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(20_000)),
  }),

  'debug.pause': nothing,
  'debug.resume': nothing,
  'debug.step': v.strictObject({
    cpu,
    count: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(1_000_000)), 1),
  }),
  'debug.stepSwitch': v.strictObject({ cpu: v.optional(cpu) }),
  'debug.runTo': v.strictObject({ cpu, address }),
  'debug.breakpoints': nothing,
  'debug.addBreakpoint': v.strictObject({ spec: breakpointSpec }),
  'debug.setBreakpoint': v.strictObject({ breakpointId: v.number(), enabled: v.boolean() }),
  'debug.removeBreakpoint': v.strictObject({ breakpointId: v.number() }),

  'logs.get': v.strictObject({
    max: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(10_000)), 1000),
  }),
  /** Everything a bug report needs, as one JSON text without the guests' memory. */
  diagnostics: nothing,
} as const

export type Method = keyof typeof REQUEST_PARAMS
export type Params<M extends Method> = v.InferInput<(typeof REQUEST_PARAMS)[M]>
export type ValidParams<M extends Method> = v.InferOutput<(typeof REQUEST_PARAMS)[M]>

export interface Job {
  id: string
  /** "Start pup", "Import guest". */
  title: string
  guestId: string | null
  state: 'running' | 'done' | 'failed' | 'cancelled'
  /** 0-1, or null while unknown. */
  progress: number | null
  cancellable: boolean
  error: string | null
}

export interface LogLine {
  time: string
  level: 'debug' | 'info' | 'warn' | 'error'
  topic: string
  text: string
}

export interface Hello {
  protocol: number
  version: string
  /** Changes when the engine was started anew. */
  engineId: string
  settings: Settings
}

export interface GuestList {
  guests: GuestSummary[]
  quarantined: QuarantinedEntry[]
}

export interface HostInfo {
  cpus: number
  ram: number
  ramUsed: number
  copy: 'elide' | 'always'
  executor: string
  /** The whole host is stopped in the debugger. */
  paused: boolean
  stop: StopReason | null
  uptime: number
  /** Settings wait for a restart of the host. */
  restartNeeded: boolean
}

/** Counters over one statistics interval. Rates are a second. */
export interface Stats {
  time: number
  /** Emulated instructions a second, all CPUs, in millions. */
  mips: number
  cpus: {
    busy: number
    guestId: string | null
    switches: number
    copiedBytes: number
    avoidedBytes: number
    elided: number
    switchesByTrap: Record<string, number>
  }[]
  guests: {
    guestId: string
    cpu: number
    cpuShare: number
    switches: number
    hypercalls: Record<string, number>
    interrupts: number
    pageFaults: { demand: number; reflected: number }
    memoryUsed: number
    /** Bytes a second. */
    disk: { read: number; written: number }
    net: { sent: number; received: number }
  }[]
  /** Host memory by owner, bytes. */
  memory: { owner: string; guestId: string | null; bytes: number }[]
  scheduler: { cpu: number; runQueue: number; contextSwitches: number; migrations: number }[]
  /** Resident memory of the engine process, bytes. */
  engineRss: number
  copy: 'elide' | 'always'
}

export interface Results {
  hello: Hello
  'settings.get': Settings
  'settings.set': Settings
  'guests.list': GuestList
  'guests.create': { guestId: string; job: Job | null }
  'guests.update': GuestSummary
  /** The job's guest is the copy, once it is there. */
  'guests.clone': { job: Job }
  'guests.delete': { undo: TrashEntry }
  'guests.undelete': { guestId: string }
  'guests.act': Job
  'guests.export': { job: Job; download: string; name: string }
  /** The job's guest is the new one, once it is there. */
  'guests.import': { job: Job }
  'files.begin': { upload: string }
  'files.append': { size: number }
  /** `file` can be named in a configuration, and in guests.import. */
  'files.finish': { file: string }
  'files.cancel': null
  /** `data` is base64; `size` is the whole file's. */
  'files.read': { data: string; size: number }
  'files.release': null
  'trash.list': TrashEntry[]
  'trash.empty': { removed: number }
  'jobs.list': Job[]
  'jobs.cancel': Job
  'jobs.wait': Job
  /** `screen` is a serialised terminal (escape sequences) that restores text, scrollback and cursor. */
  'console.attach': { channel: number; screen: string; cols: number; rows: number }
  'console.detach': null
  'console.clear': null
  'console.text': { text: string }
  'console.log': { file: string | null }
  'host.get': HostInfo
  'host.restart': Job
  'host.migrate': null
  'stats.subscribe': null
  'inspect.subscribe': null
  'inspect.cpu': CpuSnapshot
  'inspect.tables': TablesSnapshot
  'inspect.memory': MemoryChunk
  'inspect.disassemble': DisassemblyLine[]
  'inspect.walk': PageWalk
  'inspect.symbol': { address: number | null }
  'inspect.timeline': { next: number; dropped: number; events: SwitchEvent[] }
  'debug.pause': HostInfo
  'debug.resume': HostInfo
  'debug.step': HostInfo
  'debug.stepSwitch': HostInfo
  'debug.runTo': HostInfo
  'debug.breakpoints': Breakpoint[]
  'debug.addBreakpoint': Breakpoint
  'debug.setBreakpoint': Breakpoint
  'debug.removeBreakpoint': null
  'logs.get': LogLine[]
  diagnostics: { name: string; text: string }
}

export interface Events {
  /** A guest appeared or changed (state, configuration, live figures). */
  guest: GuestSummary
  'guest.removed': { guestId: string }
  quarantined: QuarantinedEntry[]
  job: Job
  host: HostInfo
  settings: Settings
  stats: Stats
  inspect: CpuSnapshot
  breakpoints: Breakpoint[]
  /** Something a person should know: shown as a notification. */
  notice: { level: 'info' | 'warn' | 'error'; text: string; guestId: string | null }
  bell: { guestId: string }
  log: LogLine
}
export type EventName = keyof Events

/** Why a request failed. `message` is a whole sentence for a person. */
export interface ProtocolError {
  code: 'invalid' | 'notFound' | 'badState' | 'io' | 'unusable' | 'cancelled' | 'internal'
  message: string
}

export interface RequestMessage<M extends Method = Method> {
  id: number
  method: M
  params: Params<M>
}
export type ReplyMessage = { id: number; result: unknown } | { id: number; error: ProtocolError }
export interface EventMessage<E extends EventName = EventName> {
  event: E
  data: Events[E]
}
