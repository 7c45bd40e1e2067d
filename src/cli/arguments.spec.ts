import { afterEach, describe, expect, it, vi } from 'vitest'
import { parseRunArguments } from './arguments.ts'
import { HELP, UsageError } from './messages.ts'
import { runCommand } from './run.ts'
import { parseServeArguments } from './serve.ts'

const MIB = 1 << 20

function refusal(...args: string[]): string {
  try {
    parseRunArguments(args)
  } catch (error) {
    expect(error).toBeInstanceOf(UsageError)
    return (error as Error).message
  }
  throw new Error(`${args.join(' ')} was accepted`)
}

afterEach(() => vi.restoreAllMocks())

/** What `kennel run` says on standard error, and how it ends. */
async function said(...args: string[]): Promise<[number, string]> {
  let text = ''
  vi.spyOn(process.stderr, 'write').mockImplementation((chunk) => {
    text += String(chunk)
    return true
  })
  return [await runCommand(args), text]
}

describe('kennel run', () => {
  it('needs no arguments', () => {
    expect(parseRunArguments([])).toEqual({
      builtin: 'pup',
      kernel: undefined,
      initrd: undefined,
      append: '',
      memory: 64 * MIB,
      disks: [],
      net: 'none',
      guests: 1,
      cpus: 2,
      hostRam: 512 * MIB,
      copy: 'elide',
      deterministic: false,
      timeout: undefined,
      stats: undefined,
    })
    expect(parseRunArguments(['pup'])).toEqual(parseRunArguments([]))
    expect(parseRunArguments(['seed'])).toEqual({ ...parseRunArguments([]), builtin: 'seed' })
  })

  it('takes every option', () => {
    const args =
      '--kernel k --initrd i --append a=b --memory 128M --disk one --disk two,ro --net switch --guests 3 --cpus 4 ' +
      '--host-ram 1G --copy always --executor lockstep --engine interp --timeout 2.5 --stats s.json'
    expect(parseRunArguments(args.split(' '))).toEqual({
      builtin: undefined,
      kernel: 'k',
      initrd: 'i',
      append: 'a=b',
      memory: 128 * MIB,
      disks: [
        { file: 'one', readOnly: false },
        { file: 'two', readOnly: true },
      ],
      net: 'switch',
      guests: 3,
      cpus: 4,
      hostRam: 1024 * MIB,
      copy: 'always',
      deterministic: true,
      timeout: 2.5,
      stats: 's.json',
    })
  })

  it.each([
    ['4M', 4 * MIB],
    ['65536K', 64 * MIB],
    ['1g', 1024 * MIB],
    ['64MiB', 64 * MIB],
    ['67108864', 64 * MIB],
    ['1024M', 1024 * MIB],
    ['8m', 8 * MIB],
    ['16MB', 16 * MIB],
    ['4100K', 4100 * 1024],
  ])('understands the size %s', (text, bytes) => {
    expect(parseRunArguments(['--kernel', 'k', '--memory', text]).memory).toBe(bytes)
  })

  it.each([
    [['--memory', '2M'], '--memory is a size from 4M to 1016M, for example 64M, not “2M”.'],
    [['--memory', '2G'], '--memory is a size from 4M to 1016M, for example 64M, not “2G”.'],
    [['--memory', ''], '--memory is a size from 4M to 1016M, for example 64M, not “”.'],
    [['--memory', '-64M'], '--memory needs a value; one that begins with a dash is written --memory=VALUE. “kennel'],
    [['--memory=-64M'], '--memory is a size from 4M to 1016M, for example 64M, not “-64M”.'],
    [['--memory', '64T'], '--memory is a size from 4M to 1016M, for example 64M, not “64T”.'],
    [['--memory', '6.4M'], '--memory is a size from 4M to 1016M, for example 64M, not “6.4M”.'],
    [['--memory', '64 M'], '--memory is a size from 4M to 1016M, for example 64M, not “64 M”.'],
    [['--memory', '0x4000000'], '--memory is a size from 4M to 1016M, for example 64M, not “0x4000000”.'],
    [['--kernel', 'k', '--memory', '2G'], '--memory is a size from 4M to 1024M, for example 64M, not “2G”.'],
    [['seed', '--disk', 'd'], 'seed has a console and nothing else; leave --disk out.'],
    [['seed', '--append', 'quiet'], 'seed has a console and nothing else; leave --append out.'],
    [['--memory', 'much'], '--memory is a size from 4M to 1016M, for example 64M, not “much”.'],
    [['--memory', '4097K'], '--memory goes in steps of 4K; “4097K” lies between two.'],
    [['--host-ram', '60M'], '--host-ram is a size from 64M to 2048M, for example 64M, not “60M”.'],
    [['--host-ram', '4G'], '--host-ram is a size from 64M to 2048M, for example 64M, not “4G”.'],
    [['--host-ram', '65M'], '--host-ram goes in steps of 4096K; “65M” lies between two.'],
    [['--cpus', '0'], '--cpus is a number from 1 to 8, not “0”.'],
    [['--cpus', 'two'], '--cpus is a number from 1 to 8, not “two”.'],
    [['--cpus', ''], '--cpus is a number from 1 to 8, not “”.'],
    [['--cpus', '0x2'], '--cpus is a number from 1 to 8, not “0x2”.'],
    [['--cpus', '9'], '--cpus is a number from 1 to 8, not “9”.'],
    [['--cpus', '1.5'], '--cpus is a number from 1 to 8, not “1.5”.'],
    [['--guests', '65'], '--guests is a number from 1 to 64, not “65”.'],
    [['--guests', '0'], '--guests is a number from 1 to 64, not “0”.'],
    [['--copy', 'sometimes'], '--copy is elide or always, not “sometimes”.'],
    [['--copy', 'ELIDE'], '--copy is elide or always, not “ELIDE”.'],
    [['--executor', 'fast'], '--executor is lockstep or parallel, not “fast”.'],
    [['--engine', 'steam'], '--engine is interp or jit, not “steam”.'],
    [['--net', 'bridge'], '--net is none or switch or nat, not “bridge”.'],
    [['--timeout', '0'], '--timeout is a number of seconds above 0, at most 2147483 (24 days), not “0”.'],
    [['--timeout', ''], 'at most 2147483 (24 days), not “”.'],
    [['--timeout', 'NaN'], 'at most 2147483 (24 days), not “NaN”.'],
    [['--timeout', 'Infinity'], 'at most 2147483 (24 days), not “Infinity”.'],
    // More milliseconds than a timer takes: it would be over at once.
    [['--timeout', '2147484'], 'at most 2147483 (24 days), not “2147484”.'],
    [['--timeout', '-1'], '--timeout needs a value; one that begins with a dash is written --timeout=VALUE. “kennel'],
    [['--timeout', 'soon'], '--timeout is a number of seconds above 0, at most 2147483 (24 days), not “soon”.'],
    [['--disk', ',ro'], '--disk needs the name of a file'],
    [['--disk', ''], '--disk needs the name of a file'],
    [['--initrd', ''], '--initrd needs the name of a file.'],
    [['--stats', ''], '--stats needs the name of a file.'],
    [['--kernel'], '--kernel needs a value. “kennel help” lists all options.'],
    [['--cpus', '--guests', '2'], '--cpus needs a value; one that begins with a dash is written --cpus=VALUE. “kennel'],
    [['-k', 'x'], "Unknown option '-k'. “kennel help” lists all options."],
    [['--kernel', ''], '--kernel needs the name of a file.'],
    [['--colour'], "Unknown option '--colour'. “kennel help” lists all options."],
    [['dog'], 'There is no built-in guest “dog”, only pup and seed.'],
    [['pup', 'pup'], 'One guest at a time'],
    [['pup', '--kernel', 'k'], 'not both'],
    [['--record', 'f'], '--record is not there yet'],
    [['--replay', 'f'], '--replay is not there yet'],
    [['--engine', 'jit'], '--engine jit is not there yet'],
    [['--executor', 'parallel'], '--executor parallel is not there yet'],
    [['--net', 'nat'], '--net nat is not there yet'],
  ])('refuses %j in a sentence, with status 2', async (args, sentence) => {
    const message = refusal(...args)
    expect(message).toContain(sentence)
    expect(message).toMatch(/\.$/)
    expect(await said(...args)).toEqual([2, `kennel: ${message}\n`])
  })

  it('says so when the real computer has no memory for the emulated one', async () => {
    vi.spyOn(WebAssembly, 'Memory').mockImplementation(function () {
      throw new RangeError('WebAssembly.Memory(): could not allocate memory')
    })
    const sentence = 'There is not enough memory for a host of 2048 MiB with 2 CPUs; give it less (--host-ram, --cpus).'
    expect(await said('--host-ram', '2G')).toEqual([2, `kennel: ${sentence}\n`])
  })

  it('takes the last of two values, and all disks', () => {
    const { cpus, disks } = parseRunArguments(['--cpus', '2', '--disk', 'a', '--cpus=4', '--disk=b,c.img'])
    expect(cpus).toBe(4)
    expect(disks).toEqual([
      { file: 'a', readOnly: false },
      { file: 'b,c.img', readOnly: false },
    ])
  })

  it('takes the ends of every range', () => {
    expect(parseRunArguments(['--cpus', '1', '--guests', '64', '--memory', '4M', '--host-ram', '2G'])).toMatchObject({
      cpus: 1,
      guests: 64,
      memory: 4 * MIB,
      hostRam: 2048 * MIB,
    })
    expect(parseRunArguments(['--timeout', '2147483']).timeout).toBe(2147483)
    expect(parseRunArguments(['--net', 'none', '--copy', 'elide'])).toEqual(parseRunArguments([]))
  })

  it('has each option in the help', () => {
    for (const option of 'kernel initrd append memory disk net guests cpus host-ram copy executor timeout stats'.split(
      ' ',
    )) {
      expect(HELP).toContain(`--${option} `)
    }
    // And nothing that is refused: of the values with alternatives, only those that work.
    for (const later of ['parallel', 'jit', 'nat', '--record', '--replay']) expect(HELP).not.toContain(later)
    for (const status of [0, 1, 2, 3, 124]) expect(HELP).toMatch(new RegExp(`^Exit status:.*\\b${status}\\b`, 'm'))
  })
})

describe('kennel serve', () => {
  it('takes a port', () => {
    expect(parseServeArguments([])).toEqual({ port: undefined })
    expect(parseServeArguments(['--port', '0'])).toEqual({ port: 0 })
    for (const bad of ['x', '-1', '65536', '1.5', '', ' ', '0x50']) {
      expect(() => parseServeArguments(['--port', bad])).toThrow('is not a port')
    }
    expect(() => parseServeArguments(['--port'])).toThrow('is not a port')
    expect(() => parseServeArguments(['8080'])).toThrow('Write “kennel serve')
  })
})
