/**
 * app://kennel/ : the built renderer under a scheme of its own instead of file://, which may read the whole disk. The
 * scheme has an origin like https has; every answer carries the headers that lock the page down.
 */
import { readFile } from 'node:fs/promises'
import { extname, join, relative, isAbsolute, sep } from 'node:path'
import { SECURITY_HEADERS } from '../web/static-files.ts'
import type { Electron } from './electron.ts'
import { APP_HOST, APP_SCHEME } from './security.ts'

const TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.woff2': 'font/woff2',
}

/** Must run before Electron is ready. */
export function registerAppScheme(electron: Pick<Electron, 'protocol'>): void {
  electron.protocol.registerSchemesAsPrivileged([
    { scheme: APP_SCHEME, privileges: { standard: true, secure: true, supportFetchAPI: true, codeCache: true } },
  ])
}

/** Serves the files below `root`. */
export function serveApp(electron: Pick<Electron, 'protocol'>, root: string): void {
  electron.protocol.handle(APP_SCHEME, (request) => respond(root, request.method, request.url))
}

/** The file an address names, or null when it names none below `root`. */
export function fileOf(root: string, url: string): string | null {
  let path: string
  try {
    const parsed = new URL(url)
    if (parsed.protocol !== `${APP_SCHEME}:` || parsed.host !== APP_HOST) return null
    path = decodeURIComponent(parsed.pathname)
  } catch {
    return null
  }
  if (path.includes('\0') || path.includes('\\')) return null
  const file = join(root, path === '/' ? 'index.html' : path)
  const inside = relative(root, file)
  return inside === '' || inside === '..' || inside.startsWith(`..${sep}`) || isAbsolute(inside) ? null : file
}

export async function respond(root: string, method: string, url: string): Promise<Response> {
  if (method !== 'GET' && method !== 'HEAD') return refuse(405, 'Method not allowed')
  const file = fileOf(root, url)
  if (!file) return refuse(404, 'Not found')
  try {
    const body = await readFile(file)
    const type = TYPES[extname(file)] ?? 'application/octet-stream'
    return new Response(method === 'HEAD' ? null : body, { headers: { ...SECURITY_HEADERS, 'Content-Type': type } })
  } catch {
    return refuse(404, 'Not found')
  }
}

function refuse(status: number, text: string): Response {
  return new Response(`${text}\n`, { status, headers: { ...SECURITY_HEADERS, 'Content-Type': 'text/plain' } })
}
