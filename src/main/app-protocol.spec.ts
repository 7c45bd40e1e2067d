import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { fileOf, registerAppScheme, respond, serveApp } from './app-protocol.ts'
import { FakeElectron } from './testing/fake-electron.ts'

let folder: string
let root: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kennel-protocol-'))
  root = join(folder, 'renderer')
  await mkdir(join(root, 'assets'), { recursive: true })
  await mkdir(join(folder, 'renderer-other'))
  await writeFile(join(folder, 'secret.txt'), 'not for anybody')
  await writeFile(join(folder, 'renderer-other', 'secret.txt'), 'not for anybody')
  await writeFile(join(root, 'index.html'), '<h1>Kennel</h1>')
  await writeFile(join(root, 'assets', 'a b.js'), 'export {}')
})
afterAll(() => rm(folder, { recursive: true }))

describe('app://kennel/', () => {
  it('is a scheme with an origin, without the rights of file://', () => {
    const fake = new FakeElectron('/nowhere')
    registerAppScheme(fake.module)
    expect(fake.schemes).toEqual([
      { scheme: 'app', privileges: { standard: true, secure: true, supportFetchAPI: true, codeCache: true } },
    ])
  })

  it('serves the page with headers that lock it down', async () => {
    const fake = new FakeElectron('/nowhere')
    serveApp(fake.module, root)
    const handler = fake.handlers.get('app')
    const answer = await handler?.({ method: 'GET', url: 'app://kennel/?detached=pup' } as Request)
    expect(answer?.status).toBe(200)
    expect(await answer?.text()).toBe('<h1>Kennel</h1>')
    expect(answer?.headers.get('content-type')).toBe('text/html; charset=utf-8')
    const policy = answer?.headers.get('content-security-policy')
    expect(policy).toContain("default-src 'self'")
    expect(policy).toContain("object-src 'none'")
    expect(policy).toContain("base-uri 'none'")
    expect(policy).not.toMatch(/unsafe-eval|https?:|\*/)
    expect(answer?.headers.get('x-content-type-options')).toBe('nosniff')
  })

  it('serves files by their decoded name, and only the headers to HEAD', async () => {
    const script = await respond(root, 'GET', 'app://kennel/assets/a%20b.js')
    expect(await script.text()).toBe('export {}')
    expect(script.headers.get('content-type')).toBe('text/javascript; charset=utf-8')
    const head = await respond(root, 'HEAD', 'app://kennel/assets/a%20b.js')
    expect([head.status, await head.text()]).toEqual([200, ''])
    expect((await respond(root, 'POST', 'app://kennel/')).status).toBe(405)
  })

  it.each([
    'app://kennel/../secret.txt',
    'app://kennel/assets/../../secret.txt',
    'app://kennel/%2e%2e/secret.txt',
    'app://kennel/..%2fsecret.txt',
    'app://kennel/..%2frenderer-other%2fsecret.txt',
    'app://kennel/assets/..%2f..%2fsecret.txt',
    'app://kennel/..%5csecret.txt',
    'app://kennel/%252e%252e/secret.txt',
    'app://kennel//etc/passwd',
    'app://kennel/index.html%00.js',
    'app://kennel/%',
    'app://kennel/assets',
    'app://kennel/assets/',
    'app://kennel/nothing.js',
    'app://other/index.html',
    'https://kennel/index.html',
    'file:///etc/passwd',
    '',
  ])('has nothing at %s', async (url) => {
    const answer = await respond(root, 'GET', url)
    expect(answer.status).toBe(404)
    expect(await answer.text()).toBe('Not found\n')
    expect(answer.headers.get('content-security-policy')).toContain("default-src 'self'")
  })

  it('never names a file above its folder', () => {
    for (const url of [
      'app://kennel/..%2fsecret.txt',
      'app://kennel/..%2frenderer-other%2fsecret.txt',
      'app://kennel/..',
    ]) {
      const file = fileOf(root, url)
      expect(file === null || file.startsWith(join(root, '/')), `${url} is ${file}`).toBe(true)
    }
  })
})
