/** The arguments of `kennel run`, checked. Whatever is wrong becomes a UsageError that says what to write instead. */
import { parseArgs } from 'node:util'
import { DEFAULT_CPUS, DEFAULT_HOST_RAM, MAX_HOST_RAM, MIN_HOST_RAM } from '../emu/index.ts'
import { UsageError } from './messages.ts'

export interface DiskArgument {
  readonly file: string
  readonly readOnly: boolean
}

/** The guests that come with Kennel, with the most memory each can use in bytes. */
const BUILTIN = { pup: 1016 << 20, seed: 1024 << 20 }
export type BuiltinGuest = keyof typeof BUILTIN

export interface RunArguments {
  /** The guest to run when there is no kernel; undefined when there is one. */
  readonly builtin: BuiltinGuest | undefined
  readonly kernel: string | undefined
  readonly initrd: string | undefined
  readonly append: string
  /** Bytes. */
  readonly memory: number
  readonly disks: readonly DiskArgument[]
  readonly net: 'none' | 'switch'
  readonly guests: number
  readonly cpus: number
  readonly hostRam: number
  readonly copy: 'elide' | 'always'
  readonly deterministic: boolean
  /** Seconds; undefined: no limit. */
  readonly timeout: number | undefined
  readonly stats: string | undefined
}

const MIB = 1 << 20
const DEFAULT_MEMORY = 64 * MIB
const MIN_MEMORY = 4 * MIB
/** Of a kernel that is given. */
const MAX_MEMORY = 1024 * MIB
/** Seconds; what a timer of 32-bit milliseconds can wait, 24 days. */
const MAX_TIMEOUT = 2_147_483

const OPTIONS = {
  kernel: { type: 'string' },
  initrd: { type: 'string' },
  append: { type: 'string' },
  memory: { type: 'string' },
  disk: { type: 'string', multiple: true },
  net: { type: 'string' },
  guests: { type: 'string' },
  cpus: { type: 'string' },
  'host-ram': { type: 'string' },
  copy: { type: 'string' },
  executor: { type: 'string' },
  engine: { type: 'string' },
  timeout: { type: 'string' },
  stats: { type: 'string' },
  record: { type: 'string' },
  replay: { type: 'string' },
} as const

export function parseRunArguments(args: readonly string[]): RunArguments {
  const { values, positionals } = parse(args)
  const later = (option: string, what: string): never => {
    throw new UsageError(`${option} is not there yet: ${what}`)
  }
  if (values.record !== undefined || values.replay !== undefined) {
    later(values.record !== undefined ? '--record' : '--replay', 'this version can neither record nor replay a run.')
  }
  if (choice('--engine', values.engine, ['interp', 'jit'], 'interp') === 'jit') {
    later('--engine jit', 'this version has the interpreter only; leave the option out.')
  }
  const executor = choice('--executor', values.executor, ['lockstep', 'parallel'], undefined)
  if (executor === 'parallel') {
    later('--executor parallel', 'this version runs all host CPUs on one thread; leave the option out.')
  }
  const net = choice('--net', values.net, ['none', 'switch', 'nat'], 'none')
  if (net === 'nat') later('--net nat', 'guests can reach only each other; write --net switch.')
  if (positionals.length > 1) throw new UsageError(`One guest at a time: “${positionals[1]}” is one too many.`)
  const [name] = positionals
  if (name !== undefined && name !== 'pup' && name !== 'seed') {
    throw new UsageError(
      `There is no built-in guest “${name}”, only pup and seed. A kernel of your own is “kennel run --kernel FILE”.`,
    )
  }
  if (name !== undefined && values.kernel !== undefined) {
    throw new UsageError('Give either the name of a built-in guest or --kernel, not both.')
  }
  const builtin = values.kernel === undefined ? (name ?? 'pup') : undefined
  if (builtin === 'seed') {
    const strange = (['initrd', 'append', 'disk', 'net'] as const).find((option) => values[option] !== undefined)
    if (strange !== undefined) throw new UsageError(`seed has a console and nothing else; leave --${strange} out.`)
  }
  return {
    builtin,
    kernel: file('--kernel', values.kernel),
    initrd: file('--initrd', values.initrd),
    append: values.append ?? '',
    memory: size(
      '--memory',
      values.memory,
      DEFAULT_MEMORY,
      MIN_MEMORY,
      builtin === undefined ? MAX_MEMORY : BUILTIN[builtin],
    ),
    disks: (values.disk ?? []).map(disk),
    net: net === 'switch' ? 'switch' : 'none',
    guests: integer('--guests', values.guests, 1, 1, 64),
    cpus: integer('--cpus', values.cpus, DEFAULT_CPUS, 1, 8),
    hostRam: size('--host-ram', values['host-ram'], DEFAULT_HOST_RAM, MIN_HOST_RAM, MAX_HOST_RAM),
    copy: choice('--copy', values.copy, ['elide', 'always'], 'elide'),
    deterministic: executor === 'lockstep',
    timeout: values.timeout === undefined ? undefined : seconds(values.timeout),
    stats: file('--stats', values.stats),
  }
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true, strict: true })
  } catch (error) {
    throw new UsageError(`${whatIsWrong(error)} “kennel help” lists all options.`)
  }
}

/** The sentence for an error of parseArgs, whose own are about its syntax. */
export function whatIsWrong(error: unknown): string {
  const { message, code } = error as NodeJS.ErrnoException
  const [option] = /--?[^' ]+/.exec(message) ?? []
  if (code === 'ERR_PARSE_ARGS_INVALID_OPTION_VALUE' && option !== undefined) {
    return message.includes('ambiguous')
      ? `${option} needs a value; one that begins with a dash is written ${option}=VALUE.`
      : `${option} needs a value.`
  }
  return `${message.split('. ')[0].replace(/\.$/, '')}.`
}

function choice<T extends string, D extends T | undefined>(
  option: string,
  value: string | undefined,
  values: readonly T[],
  missing: D,
): T | D {
  if (value === undefined) return missing
  const found = values.find((each) => each === value)
  if (found === undefined) throw new UsageError(`${option} is ${values.join(' or ')}, not “${value}”.`)
  return found
}

function integer(option: string, value: string | undefined, missing: number, least: number, most: number): number {
  if (value === undefined) return missing
  const number = Number(value)
  if (!/^\d+$/.test(value) || number < least || number > most) {
    throw new UsageError(`${option} is a number from ${least} to ${most}, not “${value}”.`)
  }
  return number
}

const UNITS: Record<string, number> = { '': 1, K: 1024, M: MIB, G: 1024 * MIB }

/** "64M", "1G", "65536K": bytes, a multiple of 4 MiB (the host's) or of a page (a guest's). */
function size(option: string, value: string | undefined, missing: number, least: number, most: number): number {
  if (value === undefined) return missing
  const match = /^(\d+)([KMG]?)i?B?$/i.exec(value)
  const bytes = match === null ? NaN : Number(match[1]) * UNITS[match[2].toUpperCase()]
  if (!(bytes >= least && bytes <= most)) {
    throw new UsageError(`${option} is a size from ${least / MIB}M to ${most / MIB}M, for example 64M, not “${value}”.`)
  }
  const step = option === '--host-ram' ? 4 * MIB : 4096
  if (bytes % step !== 0)
    throw new UsageError(`${option} goes in steps of ${step / 1024}K; “${value}” lies between two.`)
  return bytes
}

function seconds(value: string): number {
  const number = Number(value)
  if (value.trim() === '' || !(number > 0 && number <= MAX_TIMEOUT)) {
    throw new UsageError(`--timeout is a number of seconds above 0, at most ${MAX_TIMEOUT} (24 days), not “${value}”.`)
  }
  return number
}

function file(option: string, value: string | undefined): string | undefined {
  if (value === '') throw new UsageError(`${option} needs the name of a file.`)
  return value
}

function disk(value: string): DiskArgument {
  const readOnly = value.endsWith(',ro')
  const name = readOnly ? value.slice(0, -3) : value
  if (name === '')
    throw new UsageError('--disk needs the name of a file, for example --disk data.img or --disk data.img,ro.')
  return { file: name, readOnly }
}
