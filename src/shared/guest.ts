/**
 * What a guest is to everybody: its configuration on disk, its state machine, its summary in a list. One description
 * for the app, the web front, the command line and the tests.
 *
 *   defined ──start──▶ starting ──▶ running ⇄ paused          (a guest that was never started is "defined")
 *      ▲                   │           │ stop      │
 *      └── (any time) ─────┴▶ crashed ◀┤           ▼
 *                              ▲       └──────▶ stopping ──▶ stopped ──start──▶ starting
 *                              └── killed by the hypervisor, or its kernel panicked: the reason is kept
 */
import * as v from 'valibot'

export const GUEST_SCHEMA_VERSION = 1

export const GUEST_STATES = ['defined', 'starting', 'running', 'paused', 'stopping', 'stopped', 'crashed'] as const
export type GuestState = (typeof GUEST_STATES)[number]

export const GUEST_ACTIONS = ['start', 'pause', 'resume', 'stop', 'forceOff', 'restart'] as const
export type GuestAction = (typeof GUEST_ACTIONS)[number]

/** Which states an action may begin in. */
export const ACTION_FROM: Record<GuestAction, readonly GuestState[]> = {
  start: ['defined', 'stopped', 'crashed'],
  pause: ['running'],
  resume: ['paused'],
  stop: ['running', 'paused'],
  forceOff: ['starting', 'running', 'paused', 'stopping'],
  restart: ['running', 'paused', 'stopped', 'crashed'],
}

/** Which states may follow a state; the engine refuses any other change. */
export const NEXT_STATES: Record<GuestState, readonly GuestState[]> = {
  defined: ['starting'],
  starting: ['running', 'stopped', 'crashed'],
  running: ['paused', 'stopping', 'stopped', 'crashed', 'starting'],
  paused: ['running', 'stopping', 'stopped', 'crashed', 'starting'],
  /** Back to running when the stop was cancelled. */
  stopping: ['stopped', 'crashed', 'running'],
  stopped: ['starting'],
  crashed: ['starting'],
}

export function canAct(state: GuestState, action: GuestAction): boolean {
  return ACTION_FROM[action].includes(state)
}

/** Whether it is in the host: it has memory there, and a console that may say more. */
export function isAlive(state: GuestState): boolean {
  return ['starting', 'running', 'paused', 'stopping'].includes(state)
}

/** The trash takes only guests that are off. */
export function canDelete(state: GuestState): boolean {
  return !isAlive(state)
}

export const MAX_NEW_DISK = 2048

export const DiskSchema = v.strictObject({
  /** Absolute path of a file the user chose, or a name inside the guest's own folder (no slash). */
  file: v.pipe(v.string(), v.minLength(1), v.maxLength(4096)),
  readOnly: v.optional(v.boolean(), false),
  /** Asks for a new, empty disk of so many MiB, called `file`, in the guest's folder. Never in guest.json. */
  create: v.optional(
    v.pipe(
      v.number(),
      v.integer('A disk has a whole number of MiB.'),
      v.minValue(1, 'A disk has at least 1 MiB.'),
      v.maxValue(MAX_NEW_DISK, `A new disk has at most ${MAX_NEW_DISK} MiB.`),
    ),
  ),
})

export const MAX_GUEST_NAME = 64

export const GuestNameSchema = v.pipe(
  v.string(),
  v.trim(),
  v.minLength(1, 'A guest needs a name.'),
  v.maxLength(MAX_GUEST_NAME, 'A name has at most 64 characters.'),
  v.regex(/^[^\u0000-\u001f\u007f/\\]+$/, 'A name has no slashes and no control characters.'),
)

/** A guest as it is written to `guest.json`, and as the wizard sends it. */
export const GuestConfigSchema = v.strictObject({
  schema: v.optional(v.literal(GUEST_SCHEMA_VERSION), GUEST_SCHEMA_VERSION),
  name: GuestNameSchema,
  kind: v.picklist(['pup', 'kernel']),
  /** Kernel file, absolute or inside the guest's folder; only for kind "kernel". */
  kernel: v.optional(v.pipe(v.string(), v.maxLength(4096)), ''),
  initrd: v.optional(v.pipe(v.string(), v.maxLength(4096)), ''),
  append: v.optional(v.pipe(v.string(), v.maxLength(2048)), ''),
  /** Guest memory in MiB. */
  memory: v.optional(
    v.pipe(v.number(), v.integer(), v.minValue(4, 'A guest needs at least 4 MiB.'), v.maxValue(1024)),
    64,
  ),
  disks: v.optional(v.pipe(v.array(DiskSchema), v.maxLength(8)), []),
  net: v.optional(v.picklist(['none', 'switch']), 'none'),
  notes: v.optional(v.pipe(v.string(), v.maxLength(10_000)), ''),
  tags: v.optional(v.pipe(v.array(v.pipe(v.string(), v.minLength(1), v.maxLength(32))), v.maxLength(16)), []),
  /** Symbols for the inspector: a System.map or ELF file. */
  symbols: v.optional(v.pipe(v.string(), v.maxLength(4096)), ''),
})
export type GuestConfig = v.InferOutput<typeof GuestConfigSchema>
export type GuestConfigInput = v.InferInput<typeof GuestConfigSchema>

/** A guest in the list. */
export interface GuestSummary {
  /** Stable for the guest's life: its folder's name. */
  id: string
  config: GuestConfig
  state: GuestState
  /** Why it crashed or stopped, for a person: "unhandled trap 13 at 0xc0101234 (0x0)". */
  reason: string | null
  /** Colour number of the guest (0-7), the same in every view. */
  colour: number
  createdAt: string
  startedAt: string | null
  /** Share of all host CPU time over the last second, 0-1. */
  cpuShare: number
  /** Bytes of host memory it really uses now (guest pages, shadow tables, hypervisor pages). */
  memoryUsed: number
  /** World switches a second over the last 60 seconds, oldest first. */
  activity: number[]
  /** The host CPU it ran on last, -1 before it ran. */
  cpu: number
}

/** A library entry that could not be read. It is kept aside and named; the rest of the list goes on. */
export interface QuarantinedEntry {
  folder: string
  problem: string
}

/** A deleted guest that can still be brought back. */
export interface TrashEntry {
  id: string
  name: string
  deletedAt: string
}
