/** `kennel serve`: the application in a browser. The engine is a child process; this one has the web front and nothing else. */
import { join } from 'node:path'
import { packageRoot } from '../engine/builtin.ts'
import { connectLocal } from '../engine/local-socket.ts'
import { controlSocket, kennelHome } from '../engine/user-home.ts'
import { EngineProcess } from '../web/engine-process.ts'
import { WebFront } from '../web/server.ts'
import { EXIT_FAULT, EXIT_USAGE, say, UsageError } from './messages.ts'

/** Tried first when no port is asked for. */
const USUAL_PORT = 8177

interface ServeArguments {
  readonly port: number | undefined
}

export function parseServeArguments(args: readonly string[]): ServeArguments {
  const [flag, value, more] = args
  if (flag === undefined) return { port: undefined }
  if (flag !== '--port' || more !== undefined) throw new UsageError('Write “kennel serve” or “kennel serve --port N”.')
  const port = Number(value)
  if (!(/^\d+$/.test(value ?? '') && port <= 65535)) {
    throw new UsageError(`“${value ?? ''}” is not a port: write a number from 0 to 65535.`)
  }
  return { port }
}

async function openFront(engine: EngineProcess, files: string, port: number | undefined): Promise<WebFront> {
  if (port !== undefined) return WebFront.start({ port, files, engine })
  try {
    return await WebFront.start({ port: USUAL_PORT, files, engine })
  } catch (error) {
    if (!(error instanceof Error && error.message.startsWith('Port '))) throw error
    return WebFront.start({ port: 0, files, engine })
  }
}

export async function serveCommand(args: readonly string[]): Promise<number> {
  let front: WebFront
  let engine: EngineProcess
  try {
    const { port } = parseServeArguments(args)
    const other = await connectLocal(controlSocket(kennelHome()))
    if (other !== null) {
      other.close()
      throw new UsageError('Kennel is already running for this user. Use its window, or “kennel ls”.')
    }
    const root = packageRoot()
    engine = new EngineProcess({ entry: join(root, 'out', 'engine', 'entry.mjs'), env: process.env })
    await engine.start()
    front = await openFront(engine, join(root, 'out', 'renderer'), port)
  } catch (error) {
    say(error instanceof Error ? error.message : String(error))
    return error instanceof UsageError ? EXIT_USAGE : EXIT_FAULT
  }
  process.stdout.write(`Kennel is at ${front.url}\n`)
  const reason = await new Promise<string>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => resolve(signal))
  })
  if (reason === 'SIGINT') say('stopping the guests')
  await front.close()
  await engine.stop()
  return 0
}
