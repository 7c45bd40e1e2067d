/** The command line: finds the command, runs it, ends with its status. */
import { packageVersion } from '../engine/builtin.ts'
import { HostPanic, MachineCheck } from '../emu/index.ts'
import { benchCommand } from './bench.ts'
import { EXIT_FAULT, EXIT_USAGE, HELP, say } from './messages.ts'
import { consoleCommand, inspectCommand, lsCommand, startCommand, stopCommand } from './remote.ts'
import { runCommand } from './run.ts'
import { serveCommand } from './serve.ts'

type Command = (args: readonly string[]) => Promise<number>

const COMMANDS: Readonly<Record<string, Command>> = {
  run: runCommand,
  bench: benchCommand,
  serve: serveCommand,
  ls: lsCommand,
  start: startCommand,
  stop: stopCommand,
  console: consoleCommand,
  inspect: inspectCommand,
  help: () => Promise.resolve(print(HELP)),
}

/** Part of the contract, but not there yet. */
const LATER = ['snapshot']

function print(text: string): number {
  process.stdout.write(text)
  return 0
}

async function main(args: readonly string[]): Promise<number> {
  const [name, ...rest] = args
  if (name === undefined || name === '--help' || name === '-h') return print(HELP)
  if (name === '--version' || name === '-v') return print(`kennel ${packageVersion()}\n`)
  if (rest.includes('--help') || rest.includes('-h')) return print(HELP)
  if (Object.hasOwn(COMMANDS, name)) return COMMANDS[name](rest)
  if (LATER.includes(name)) {
    say(`“${name}” is not there yet. “kennel help” lists what there is.`)
  } else say(`There is no command “${name}”. “kennel help” lists what there is.`)
  return EXIT_USAGE
}

/** A reader that goes away is no reason to fail; a full disk is. `run` has its own answer on standard output. */
function watchOutputs(command: string | undefined): void {
  process.stderr.on('error', () => {})
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE' || command === 'run') return
    say(`standard output takes no more: ${error.message}`)
    process.exitCode = EXIT_FAULT
  })
}

/** bin/kennel waits for this process. When it is killed outright this one ends as if it had been asked to. */
function endWithParent(): void {
  process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'))
  // The channel alone is no reason to stay.
  process.channel?.unref()
}

const args = process.argv.slice(2)
watchOutputs(args[0])
endWithParent()
try {
  const status = await main(args)
  process.exitCode ??= status
} catch (error) {
  if (error instanceof HostPanic || error instanceof MachineCheck) say(`the emulated host stopped: ${error.message}`)
  else say(`a fault of Kennel's own: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`)
  process.exitCode = EXIT_FAULT
}
