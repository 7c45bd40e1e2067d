/** Requests of the inspector and of the debugger. */
import type { MemorySpace } from '../../shared/inspect.ts'
import type { Handlers } from '../connection.ts'
import { disassemble } from '../disassembly.ts'
import type { EmulatedHost } from '../emulated-host.ts'
import { EngineError } from '../errors.ts'
import { cpuSnapshot } from '../inspect/cpu-snapshot.ts'
import { memoryChunk, readSpace } from '../inspect/memory-spaces.ts'
import { pageWalk } from '../inspect/page-walk.ts'
import { tablesSnapshot } from '../inspect/tables.ts'
import { currentGuest } from '../inspect/target.ts'
import type { SymbolTable } from '../symbols.ts'
import { periodOf, type EngineContext } from './context.ts'

type InspectMethods = Extract<keyof Handlers, `inspect.${string}` | `debug.${string}`>

const MAX_INSTRUCTION = 15

export function inspectHandlers(context: EngineContext): Pick<Handlers, InspectMethods> {
  const { guests } = context
  const checkCpu = (cpu: number): void => {
    if (cpu >= context.host.machine.cpus.length) throw new EngineError('notFound', `The host has no CPU ${cpu}.`)
  }
  const breakpointsChanged = (): void => context.broadcast('breakpoints', context.host.debugger.list())
  return {
    'inspect.subscribe': ({ cpu, hz }, connection) => {
      checkCpu(cpu)
      if (hz === 0) return subscribed(null)
      const timer = context.every(periodOf(hz), () => {
        if (cpu < context.host.machine.cpus.length) connection.emit('inspect', cpuSnapshot(context.host, cpu))
      })
      return subscribed(() => clearInterval(timer))

      function subscribed(stop: (() => void) | null): null {
        context.subscription(connection, 'inspect', stop)
        return null
      }
    },
    'inspect.cpu': ({ cpu }) => {
      checkCpu(cpu)
      return cpuSnapshot(context.host, cpu)
    },
    'inspect.tables': ({ cpu }) => {
      checkCpu(cpu)
      return tablesSnapshot(context.host, cpu)
    },
    'inspect.memory': ({ space, address, length }) => memoryChunk(context.host, space, address, length),
    'inspect.disassemble': ({ space, address, count }) => {
      const { bytes, mapped } = readSpace(context.host, space, address, count * MAX_INSTRUCTION)
      const firstGap = mapped.indexOf(false)
      const readable = firstGap < 0 ? bytes.length : Math.max(0, firstGap * 4096 - (address % 4096))
      return disassemble(bytes.subarray(0, readable), address, count, symbolsFor(context, space))
    },
    'inspect.walk': ({ guestId, address }) => pageWalk(context.host, guestId, address),
    'inspect.symbol': ({ guestId, name }) => ({ address: guests.get(guestId).symbols?.addressOf(name) ?? null }),
    'inspect.timeline': ({ since, max }) => context.host.timeline.read(since, max),
    'debug.pause': () => {
      context.host.pause()
      return context.host.info()
    },
    'debug.resume': () => {
      context.host.resume()
      return context.host.info()
    },
    'debug.step': ({ cpu, count }) => {
      context.host.step(cpu, count)
      return context.host.info()
    },
    'debug.stepSwitch': ({ cpu }) => {
      context.host.stepSwitch(cpu ?? null)
      return context.host.info()
    },
    'debug.runTo': ({ cpu, address }) => {
      context.host.runTo(cpu, address)
      return context.host.info()
    },
    'debug.breakpoints': () => context.host.debugger.list(),
    'debug.addBreakpoint': ({ spec }) => {
      const breakpoint = context.host.debugger.add(spec)
      breakpointsChanged()
      return breakpoint
    },
    'debug.setBreakpoint': ({ breakpointId, enabled }) => {
      const breakpoint = context.host.debugger.setEnabled(breakpointId, enabled)
      breakpointsChanged()
      return breakpoint
    },
    'debug.removeBreakpoint': ({ breakpointId }) => {
      context.host.debugger.remove(breakpointId)
      breakpointsChanged()
      return null
    },
  }
}

/** Names for the addresses of a space: a guest's, or the Host's own and those of the guest a CPU is in. */
function symbolsFor(context: EngineContext, space: MemorySpace): SymbolTable | null {
  if (space.kind === 'guestVirtual') return context.guests.get(space.guestId).symbols
  if (space.kind !== 'cpuVirtual') return null
  return cpuSymbols(context.host, space.cpu)
}

function cpuSymbols(host: EmulatedHost, cpu: number): SymbolTable {
  const guest = currentGuest(host, cpu)
  const symbols = guest === null ? null : (host.identify(guest.address)?.symbols ?? null)
  return {
    size: symbols?.size ?? 0,
    addressOf: (name) => symbols?.addressOf(name) ?? null,
    describe: (address) =>
      guest === null ? host.hostSymbol(address) : (symbols?.describe(address) ?? host.hostSymbol(address)),
  }
}
