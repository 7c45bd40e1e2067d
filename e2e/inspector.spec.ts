/** The CPU inspector: what it shows is what the engine has. */
import { connect } from 'node:net'
import { join } from 'node:path'
import type { CpuSnapshot, PageWalk } from '../src/shared/inspect.ts'
import { RemoteClient } from '../src/cli/remote-client.ts'
import type { Front } from './front.ts'
import { expect, type Kennel, test } from './kennel.ts'

const hex = (value: number, digits = 8): string => value.toString(16).padStart(digits, '0')

/** Two processes that compete: world switches come at every time slice. */
async function busyPup(kennel: Kennel): Promise<void> {
  await kennel.firstRun()
  await kennel.type('loop 600 &')
  await kennel.type('loop 600 &')
  await kennel.go('CPU inspector')
  await expect(kennel.page.getByTestId('world')).toBeVisible()
}

/** What the command line is told, over the local socket. */
async function engineSays<T>(front: Front, ask: (client: RemoteClient) => Promise<T>): Promise<T> {
  const client = await RemoteClient.connect(front.home)
  try {
    return await ask(client)
  } finally {
    client.close()
  }
}

test('values while paused are the engine’s own', async ({ kennel }) => {
  const { page } = kennel
  await busyPup(kennel)
  await page.getByTestId('debug-pause').click()
  await expect(page.getByTestId('stop-reason')).toBeVisible()
  for (const cpu of [0, 1]) {
    await page.getByTestId(`inspector-cpu-${cpu}`).click()
    const own: CpuSnapshot = await engineSays(kennel.front, (client) => client.request('inspect.cpu', { cpu }))
    await expect(page.getByTestId('reg-eip')).toHaveText(hex(own.eip))
    for (const [i, name] of ['eax', 'ecx', 'edx', 'ebx', 'esp', 'ebp', 'esi', 'edi'].entries()) {
      await expect(page.getByTestId(`reg-${name}`)).toHaveText(hex(own.gpr[i]))
    }
    await expect(page.getByTestId('reg-eflags')).toHaveText(hex(own.eflags))
    for (const { name, selector } of own.segments.slice(0, 6)) {
      await expect(page.getByTestId(`seg-${name}`)).toHaveText(hex(selector, 4))
    }
    await expect(page.getByTestId('gdtr-base')).toHaveText(hex(own.gdtr.base))
  }
})

test('step executes one instruction, step to switch stops at the next world switch', async ({ kennel }) => {
  const { page } = kennel
  await busyPup(kennel)
  await page.getByTestId('debug-step-switch').click()
  await expect(page.getByTestId('stop-reason')).toContainText('pup')
  const host = await engineSays(kennel.front, (client) => client.request('host.get', {}))
  expect(host).toMatchObject({ paused: true, stop: { kind: 'switch' } })
  const { cpu } = host.stop as { cpu: number }
  await page.getByTestId(`inspector-cpu-${cpu}`).click()
  const before = await engineSays(kennel.front, (client) => client.request('inspect.cpu', { cpu }))
  await page.getByTestId('debug-step').click()
  await expect
    .poll(async () => (await engineSays(kennel.front, (client) => client.request('inspect.cpu', { cpu }))).retired)
    .toBe(before.retired + 1)
  const after = await engineSays(kennel.front, (client) => client.request('inspect.cpu', { cpu }))
  await expect(page.getByTestId('reg-eip')).toHaveText(hex(after.eip))
  await page.getByTestId('debug-resume').click()
  await expect(page.getByTestId('stop-reason')).toHaveCount(0)
  await kennel.go('Guests')
  await kennel.expectState('pup', 'running')
})

test('a breakpoint on a symbol stops there; freeze holds the picture', async ({ kennel }) => {
  const { page } = kennel
  await kennel.firstRun()
  const [guest] = (await engineSays(kennel.front, (client) => client.request('guests.list', {}))).guests
  const { address } = await engineSays(kennel.front, (client) =>
    client.request('inspect.symbol', { guestId: guest.id, name: 'sys_sleep' }),
  )
  expect(address).not.toBeNull()
  await engineSays(kennel.front, (client) =>
    client.request('debug.addBreakpoint', { spec: { kind: 'address', address: address ?? 0, scope: {} } }),
  )
  await kennel.type('sleep 1')
  await kennel.go('CPU inspector')
  await expect(page.getByTestId('stop-reason')).toContainText(/breakpoint/i)
  await expect(page.getByTestId('breakpoint-list')).toContainText(hex(address ?? 0))
  const { stop } = await engineSays(kennel.front, (client) => client.request('host.get', {}))
  const { cpu } = stop as { cpu: number }
  await page.getByTestId(`inspector-cpu-${cpu}`).click()
  await expect(page.getByTestId('reg-eip')).toHaveText(hex(address ?? 0))
  await expect(page.getByTestId('current-line')).toContainText('sys_sleep')
  await page.getByTestId('freeze').click()
  await expect(page.getByTestId('frozen-badge')).toBeVisible()
  await page.getByTestId('debug-resume').click()
  await expect(page.getByTestId('reg-eip')).toHaveText(hex(address ?? 0))
})

test('the walk of a guest address through both tables, side by side', async ({ kennel }) => {
  const { page } = kennel
  await busyPup(kennel)
  await page.getByTestId('debug-pause').click()
  const [guest] = (await engineSays(kennel.front, (client) => client.request('guests.list', {}))).guests
  const ADDRESS = 0xc0100000
  const walk: PageWalk = await engineSays(kennel.front, (client) =>
    client.request('inspect.walk', { guestId: guest.id, address: ADDRESS }),
  )
  const field = page.getByTestId('walk-address')
  await field.fill(hex(ADDRESS))
  await field.press('Enter')
  await expect(page.getByTestId('walk-guest-result')).toContainText(hex(walk.guest.result ?? 0))
  if (walk.shadow.result !== null) {
    await expect(page.getByTestId('walk-shadow-result')).toContainText(hex(walk.shadow.result))
  }
})

test('always against elide: bytes are copied, or they are not', async ({ kennel }) => {
  const { page } = kennel
  await busyPup(kennel)
  await expect(page.getByTestId('copied-rate')).toHaveText(/^0 B/)
  await page.getByTestId('copy-mode').selectOption('always')
  await expect
    .poll(async () => (await engineSays(kennel.front, (client) => client.request('host.get', {}))).copy)
    .toBe('always')
  await expect(page.getByTestId('copied-rate')).not.toHaveText(/^0 B/)
  await expect(page.getByTestId('rate-chart').first()).toBeVisible()
  await page.getByTestId('copy-mode').selectOption('elide')
  await expect(page.getByTestId('copied-rate')).toHaveText(/^0 B/)
  await expect(page.getByTestId('timeline')).toBeVisible()
})

test('host: CPUs, memory and placement; a guest moves to the other CPU', async ({ kennel }) => {
  const { page } = kennel
  await busyPup(kennel)
  await kennel.go('Host')
  await expect(page.getByTestId('host-cpu-0')).toBeVisible()
  await expect(page.getByTestId('host-memory')).toContainText('pup')
  const placed = async (): Promise<number> =>
    (await engineSays(kennel.front, (client) => client.request('guests.list', {}))).guests[0].cpu
  await expect.poll(placed).toBeGreaterThanOrEqual(0)
  const other = 1 - (await placed())
  await page.getByTestId('migrate-pup').selectOption(String(other))
  await expect.poll(placed).toBe(other)
})

test('the engine is killed: the app says so, keeps the text, and starts it again', async ({ kennel }) => {
  const { page } = kennel
  await kennel.firstRun()
  await kennel.type('echo kept text | cat')
  await kennel.expectText(/cat\s*kept text/)
  process.kill(kennel.front.enginePid(), 'SIGKILL')
  await expect(page.getByTestId('engine-lost')).toContainText('SIGKILL')
  await kennel.expectText('kept text')
  await page.getByTestId('engine-restart').click()
  await expect(page.getByTestId('engine-lost')).toHaveCount(0)
  await kennel.expectText('kept text')
  await kennel.go('Guests')
  await kennel.guest('pup').getByTestId('start').click()
  await kennel.expectState('pup', 'running')
})

test('the local socket is the user’s alone', async ({ kennel }) => {
  const { statSync } = await import('node:fs')
  expect(statSync(join(kennel.front.home, 'kennel.sock')).mode & 0o777).toBe(0o600)
  expect(statSync(kennel.front.home).mode & 0o777).toBe(0o700)
  const socket = connect(join(kennel.front.home, 'kennel.sock'))
  const closed = new Promise((resolve) => socket.once('close', resolve))
  socket.write(Buffer.alloc(64, 0xff))
  await closed
  expect((await kennel.front.cli('ls')).status).toBe(0)
})
