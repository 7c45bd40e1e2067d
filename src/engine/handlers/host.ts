/** Requests about the host, the settings, the log, and the connection itself. */
import { arch, platform, release } from 'node:os'
import { PROTOCOL_VERSION } from '../../shared/protocol.ts'
import type { Handlers } from '../connection.ts'
import { EngineError } from '../errors.ts'
import { privateOf, redactAll } from '../redact.ts'
import { Sampler } from '../statistics.ts'
import { periodOf, type EngineContext } from './context.ts'

type HostMethods = Extract<
  keyof Handlers,
  'hello' | `settings.${string}` | `host.${string}` | `stats.${string}` | `logs.${string}` | 'diagnostics'
>

export function hostHandlers(
  context: EngineContext,
  hostInfo: () => ReturnType<Handlers['host.get']>,
): Pick<Handlers, HostMethods> {
  const { guests, settings, log, jobs } = context
  return {
    hello: ({ protocol }) => {
      if (protocol !== PROTOCOL_VERSION) {
        throw new EngineError(
          'unusable',
          `This front speaks version ${protocol} of the protocol, the engine version ${PROTOCOL_VERSION}. Start Kennel again.`,
        )
      }
      return {
        protocol: PROTOCOL_VERSION,
        version: context.version,
        engineId: context.engineId,
        settings: settings.settings,
      }
    },
    'settings.get': () => settings.settings,
    'settings.set': async ({ settings: part }) => {
      const before = settings.settings
      const after = await settings.change(withoutUndefined(part))
      context.applySettings(before, after)
      return after
    },
    'host.get': hostInfo,
    'host.restart': () =>
      jobs.start('Restart the host', {}, async () => {
        await context.restartHost()
      }),
    'host.migrate': ({ guestId, cpu }) => {
      const { running, name } = guests.get(guestId)
      if (running === null) throw new EngineError('badState', `“${name}” is not running.`)
      if (cpu >= context.host.machine.cpus.length) throw new EngineError('notFound', `The host has no CPU ${cpu}.`)
      running.migrate(cpu)
      return null
    },
    'stats.subscribe': ({ hz }, connection) => {
      if (hz === 0) {
        context.subscription(connection, 'stats', null)
        return null
      }
      const sampler = new Sampler()
      sampler.sample(context.host, guests.list())
      const timer = context.every(periodOf(hz), () =>
        connection.emit('stats', sampler.sample(context.host, guests.list())),
      )
      context.subscription(connection, 'stats', () => clearInterval(timer))
      return null
    },
    'logs.get': ({ max }) => log.recent(max),
    diagnostics: () => ({
      name: `kennel-diagnostics-${new Date().toISOString().slice(0, 19).replaceAll(':', '-')}.json`,
      text: JSON.stringify(redactAll(diagnostics(context), privateOf(context.home)), null, 2),
    }),
  }
}

/** Nothing of the guests' memory, disks, consoles or notes. What is left goes through redact.ts. */
function diagnostics(context: EngineContext): unknown {
  const { guests, host } = context
  return {
    kennel: context.version,
    system: { platform: platform(), release: release(), arch: arch(), node: process.version },
    settings: context.settings.settings,
    host: host.info(),
    statistics: host.computer.statistics(),
    guests: guests.list().map((each) => ({
      state: each.state,
      reason: each.reason,
      kind: each.record.config.kind,
      memory: each.record.config.memory,
      disks: each.record.config.disks.length,
      append: each.record.config.append,
    })),
    quarantined: context.library.quarantined().length,
    memory: process.memoryUsage(),
    log: context.log.recent(500),
  }
}

function withoutUndefined<T extends object>(part: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(part).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>
  }
}
