/** The built renderer's files over HTTP: a closed list made at start, so no request can name anything else. */
import { readdir, readFile } from 'node:fs/promises'
import { extname, join, relative, sep } from 'node:path'
import type { ServerResponse } from 'node:http'

const TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.ico': 'image/x-icon',
  '.woff2': 'font/woff2',
}

/** Sent with every response (docs: OWASP secure headers; the page needs no eval, no frames, nothing from elsewhere). */
export const SECURITY_HEADERS: Record<string, string> = {
  'Content-Security-Policy':
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; " +
    "connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  'Cache-Control': 'no-cache',
}

export class StaticFiles {
  private readonly files: Map<string, string>

  private constructor(files: Map<string, string>) {
    this.files = files
  }

  /** Lists every file below `root`. Throws when there is no index.html: the renderer has not been built. */
  static async load(root: string): Promise<StaticFiles> {
    const files = new Map<string, string>()
    for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue
      const path = join(entry.parentPath, entry.name)
      files.set('/' + relative(root, path).split(sep).join('/'), path)
    }
    const index = files.get('/index.html')
    if (!index) throw new Error('The renderer is not built: index.html is missing. Run “npm run build”.')
    files.set('/', index)
    return new StaticFiles(files)
  }

  /** The file a URL path names, or null. Paths are compared as they are: nothing is decoded into a folder above. */
  pathOf(urlPath: string): string | null {
    return this.files.get(urlPath) ?? null
  }

  async serve(urlPath: string, method: string, response: ServerResponse): Promise<void> {
    const path = this.pathOf(urlPath)
    if (!path) {
      response.writeHead(404, { ...SECURITY_HEADERS, 'Content-Type': 'text/plain' }).end('Not found\n')
      return
    }
    const body = await readFile(path)
    response.writeHead(200, {
      ...SECURITY_HEADERS,
      'Content-Type': TYPES[extname(path)] ?? 'application/octet-stream',
      'Content-Length': body.length,
    })
    response.end(method === 'HEAD' ? undefined : body)
  }
}
