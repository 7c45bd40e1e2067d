/**
 * Builds the app, packs it by electron-builder.yml around a stand-in for Electron (an executable that is only a fuse
 * wire), and looks at what came out: the files, the fuses, and whether the unpacked engine runs from there.
 */
import { fork, spawnSync, type ChildProcess } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, posix } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ProcessMessage } from '../engine/process-channel.ts'
import { PROTOCOL_VERSION } from '../shared/protocol.ts'
import { APP_ID } from './paths.ts'

const ROOT = join(import.meta.dirname, '../..')
/** Where an Electron executable has its fuses: this text, version, count, then a character each (@electron/fuses). */
const FUSE_SENTINEL = 'dL7pKGdnNz796PbbjQWNKmHXBZaB9tsX'
/** What a new Electron has, in the wire's order; the first is runAsNode. */
const FUSES_BEFORE = '10110011'

/** Every file of the archive is one of these. */
const ALLOWED = [
  /^package\.json$/,
  /^out\/main\/(index|engine)\.js$/,
  /^out\/main\/chunks\/[\w.-]+\.js$/,
  /^out\/main\/iced_x86_bg\.wasm$/,
  /^out\/preload\/index\.cjs$/,
  /^out\/renderer\/(index\.html|favicon\.(svg|png|ico))$/,
  /^out\/renderer\/assets\/[\w.-]+\.(js|css|svg|png|woff2)$/,
  /^guests\/pup\/(pup\.elf|pup\.sym|initrd\.img)$/,
  /^build\/icons\/32x32\.png$/,
]

interface ArchiveEntry {
  files?: Record<string, ArchiveEntry>
  unpacked?: boolean
  offset?: string
  size?: number
}

let folder: string
let resources: string
/** Path in the archive to whether it is unpacked. */
const packed = new Map<string, boolean>()
let dataStart = 0
let archive: ArchiveEntry

function bin(name: string): string {
  return join(ROOT, 'node_modules/.bin', name)
}

function run(command: string, args: string[], cwd: string): void {
  const path = `${join(ROOT, 'node_modules/.bin')}:${process.env['PATH'] ?? ''}`
  const done = spawnSync(command, args, { cwd, env: { ...process.env, PATH: path }, encoding: 'utf8' })
  if (done.status !== 0) throw new Error(`${command} failed:\n${done.stdout}${done.stderr}`)
}

function standIn(): string {
  const electron = join(folder, 'electron')
  mkdirSync(join(electron, 'resources'), { recursive: true })
  mkdirSync(join(electron, 'locales'))
  const wire = Buffer.concat([
    Buffer.from(FUSE_SENTINEL),
    Buffer.from([1, FUSES_BEFORE.length]),
    Buffer.from(FUSES_BEFORE),
  ])
  writeFileSync(join(electron, 'electron'), wire, { mode: 0o755 })
  for (const language of ['de', 'en-US']) writeFileSync(join(electron, 'locales', `${language}.pak`), '')
  return electron
}

/** Things that lie about in a working folder and have no business in the package. */
function litter(project: string): void {
  const files = ['src/main/index.ts', 'test-results/vitest.json', '.env', 'id_rsa', 'guests/pup/boot.spec.ts']
  files.push('node_modules/left-pad/index.js', 'out/main/index.js.map', 'out/cli/kennel.mjs', 'dist/old.txt')
  for (const file of files) {
    mkdirSync(dirname(join(project, file)), { recursive: true })
    writeFileSync(join(project, file), 'litter')
  }
  writeFileSync(join(project, 'node_modules/left-pad/package.json'), '{"name":"left-pad","version":"1.0.0"}')
}

/** The asar format: a size, then the header's size, a size, the length of the JSON, the JSON; then the files. */
function readHeader(file: string): ArchiveEntry {
  const bytes = readFileSync(file)
  dataStart = 8 + bytes.readUInt32LE(4)
  return JSON.parse(bytes.toString('utf8', 16, 16 + bytes.readUInt32LE(12))) as ArchiveEntry
}

function collect(entry: ArchiveEntry, path: string): void {
  if (!entry.files) packed.set(path, entry.unpacked ?? false)
  else for (const [name, child] of Object.entries(entry.files)) collect(child, path === '' ? name : `${path}/${name}`)
}

/** A packed file's contents, wherever they are. */
function contents(path: string): string {
  if (packed.get(path)) return readFileSync(join(resources, 'app.asar.unpacked', path), 'utf8')
  const entry = path.split('/').reduce<ArchiveEntry>((at, name) => at.files?.[name] ?? {}, archive)
  const start = dataStart + Number(entry.offset)
  return readFileSync(join(resources, 'app.asar')).toString('utf8', start, start + (entry.size ?? 0))
}

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'kennel-pack-'))
  const project = join(folder, 'project')
  mkdirSync(join(project, 'guests/pup'), { recursive: true })
  for (const name of ['package.json', 'electron-builder.yml', 'build']) {
    cpSync(join(ROOT, name), join(project, name), { recursive: true })
  }
  for (const name of ['pup.elf', 'pup.sym', 'initrd.img']) {
    cpSync(join(ROOT, 'guests/pup', name), join(project, 'guests/pup', name))
  }
  run(bin('electron-vite'), ['build', '--outDir', join(project, 'out'), '--logLevel', 'error'], ROOT)
  litter(project)
  const { version } = JSON.parse(readFileSync(join(ROOT, 'node_modules/electron/package.json'), 'utf8')) as {
    version: string
  }
  const options = [`-c.electronDist=${standIn()}`, `-c.electronVersion=${version}`]
  run(bin('electron-builder'), ['--dir', '--linux', '--publish', 'never', ...options], project)
  const unpackedTo = readdirSync(join(project, 'dist')).find((name) => name.endsWith('unpacked')) ?? ''
  resources = join(project, 'dist', unpackedTo, 'resources')
  archive = readHeader(join(resources, 'app.asar'))
  collect(archive, '')
}, 300_000)

let engine: ChildProcess | null = null
afterAll(() => {
  engine?.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
})

describe('the package', () => {
  it('has only files of the list', () => {
    const others = [...packed.keys()].filter((path) => !ALLOWED.some((pattern) => pattern.test(path)))
    expect(others).toEqual([])
  })

  it('has at least one file of each kind', () => {
    const paths = [...packed.keys()]
    for (const pattern of ALLOWED)
      expect(
        paths.some((path) => pattern.test(path)),
        String(pattern),
      ).toBe(true)
    const page = contents('out/renderer/index.html')
    const named = [...page.matchAll(/(?:src|href)="\.\/([^"]+)"/g)].map(([, path]) => `out/renderer/${path}`)
    expect(named.length).toBeGreaterThanOrEqual(2)
    expect(named.filter((path) => !packed.has(path))).toEqual([])
  })

  it('has the engine and what it reads outside the archive, and main and the pages inside', () => {
    const outside = [...packed].filter(([, unpacked]) => unpacked).map(([path]) => path)
    expect(
      outside.filter((path) => !/^(package\.json$|out\/main\/(engine\.js|chunks\/|iced)|guests\/)/.test(path)),
    ).toEqual([])
    for (const path of ['package.json', 'out/main/engine.js', 'out/main/iced_x86_bg.wasm', 'guests/pup/pup.elf']) {
      expect(packed.get(path), path).toBe(true)
      expect(existsSync(join(resources, 'app.asar.unpacked', path)), path).toBe(true)
    }
    for (const path of ['out/main/index.js', 'out/preload/index.cjs', 'out/renderer/index.html']) {
      expect(packed.get(path), path).toBe(false)
    }
  })

  it('needs nothing that is not in it', () => {
    const missing: string[] = []
    for (const path of [...packed.keys()].filter((name) => /^out\/main\/.*\.js$/.test(name))) {
      for (const [, from] of contents(path).matchAll(/^(?:import|export)\b[^'"]*?from ['"]([^'"]+)['"]/gm)) {
        const local = from.startsWith('.') ? posix.join(posix.dirname(path), from) : null
        const known = local ? packed.has(local) : /^(node:|electron$|module$)/.test(from)
        if (!known) missing.push(`${path}: ${from}`)
      }
    }
    expect(missing).toEqual([])
    const required = [...contents('out/preload/index.cjs').matchAll(/\brequire\(['"]([^'"]+)['"]\)/g)]
    expect(required.map(([, from]) => from)).toEqual(['electron'])
  })

  it('starts at main’s file, under the app’s name', () => {
    const { main, type, productName, desktopName } = JSON.parse(contents('package.json')) as Record<string, unknown>
    expect(main).toMatch(/^(\.\/)?out\/main\/index\.js$/)
    expect([type, productName, desktopName]).toEqual(['module', 'Kennel', 'kennel.desktop'])
    expect(readFileSync(join(ROOT, 'electron-builder.yml'), 'utf8')).toMatch(new RegExp(`^appId: ${APP_ID} `, 'm'))
  })

  it('has Electron’s executable under our name, in English, with its fuses set', () => {
    const executable = readFileSync(join(resources, '../kennel'))
    const at = executable.indexOf(FUSE_SENTINEL) + FUSE_SENTINEL.length + 2
    // runAsNode, cookie encryption, NODE_OPTIONS, --inspect, asar integrity, only from asar, own snapshot, file://.
    expect(executable.toString('latin1', at, at + FUSES_BEFORE.length)).toBe('01001100')
    expect(readdirSync(join(resources, '../locales'))).toEqual(['en-US.pak'])
  })
})

describe('the unpacked engine', () => {
  it('starts where it is, answers its heartbeat and a request, and ends when asked to', async () => {
    const home = join(folder, 'home')
    engine = fork(join(resources, 'app.asar.unpacked/out/main/engine.js'), [], {
      env: { ...process.env, KENNEL_HOME: home },
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    })
    const said: ProcessMessage[] = []
    let errors = ''
    engine.stderr?.on('data', (text: Buffer) => (errors += text.toString()))
    const child = engine
    const until = (wanted: (message: ProcessMessage) => boolean): Promise<ProcessMessage> =>
      new Promise((resolve, reject) => {
        child.on('message', (message: ProcessMessage) => {
          said.push(message)
          if (wanted(message)) resolve(message)
        })
        child.once('exit', (code) => reject(new Error(`the engine ended with status ${code}: ${errors}`)))
      })
    const send = (message: ProcessMessage): void => void child.send(message)
    await until(({ type }) => type === 'ready')
    send({ type: 'ping', sequence: 7 })
    expect(await until(({ type }) => type === 'pong')).toEqual({ type: 'pong', sequence: 7 })
    send({ type: 'open', connection: 1 })
    const params = { protocol: PROTOCOL_VERSION, front: 'test' }
    send({ type: 'data', connection: 1, frame: JSON.stringify({ id: 1, method: 'hello', params }) })
    const answer = await until((message) => message.type === 'data' && String(message.frame).includes('"id":1'))
    const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string }
    expect(answer.type === 'data' && (JSON.parse(String(answer.frame)) as unknown)).toMatchObject({
      result: { version, protocol: PROTOCOL_VERSION },
    })
    const status = new Promise((resolve) => child.once('exit', resolve))
    send({ type: 'shutdown' })
    expect(await status).toBe(0)
  })
})

describe('the installers', () => {
  const config = readFileSync(join(ROOT, 'electron-builder.yml'), 'utf8')

  it('are those of each system, and tie exported guests to Kennel', () => {
    const targets = [...config.matchAll(/^(linux|mac|win):\n {2}target: \[(.*)\]$/gm)].map(([, ...found]) => found)
    expect(targets).toEqual([
      ['linux', 'AppImage, deb'],
      ['mac', 'dmg, zip'],
      ['win', 'nsis'],
    ])
    expect(config).toMatch(
      /^fileAssociations:\n {2}- ext: kennel\n(?: {4}.*\n)* {4}mimeType: application\/x-kennel-guest\n/m,
    )
  })

  it('of Debian know who keeps the package and where it is from', () => {
    const { author, homepage } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as Record<string, string>
    expect(author).toMatch(/^[^<>]+ <[^<>@ ]+@[^<>@ ]+>$/)
    expect(new URL(homepage).protocol).toBe('https:')
  })
})

describe('icons', () => {
  const side = (file: string): number[] => {
    const bytes = readFileSync(join(ROOT, 'build', file))
    expect(bytes.toString('latin1', 1, 4), file).toBe('PNG')
    return [bytes.readUInt32BE(16), bytes.readUInt32BE(20)]
  }

  it('are there in the sizes each system wants', () => {
    expect(side('icon.png')).toEqual([1024, 1024])
    for (const size of [16, 32, 48, 64, 128, 256, 512]) expect(side(`icons/${size}x${size}.png`)).toEqual([size, size])
    const ico = readFileSync(join(ROOT, 'build/icon.ico'))
    const sides = Array.from({ length: ico.readUInt16LE(4) }, (_unused, i) => ico[6 + 16 * i] || 256)
    expect(sides).toEqual([16, 24, 32, 48, 64, 128, 256])
    const icns = readFileSync(join(ROOT, 'build/icon.icns'))
    expect(icns.toString('latin1', 0, 4)).toBe('icns')
    expect(icns.readUInt32BE(4)).toBe(icns.length)
    const types: string[] = []
    for (let at = 8; at < icns.length; at += icns.readUInt32BE(at + 4)) types.push(icns.toString('latin1', at, at + 4))
    expect(types).toEqual(['ic11', 'ic12', 'ic07', 'ic08', 'ic13', 'ic09', 'ic14', 'ic10'])
  })
})
