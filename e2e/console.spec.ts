/** Consoles: typing, text, hostile output, floods. */
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { WebFront } from './front.ts'
import { expect, test } from './kennel.ts'

test('typing, history, scrollback and search', async ({ kennel }) => {
  const { page } = kennel
  await kennel.firstRun()
  await kennel.type('hexdump /bin/sh')
  await kennel.prompt()
  await page.keyboard.press('Control+Shift+F')
  await page.getByTestId('console-search').fill('This is pup')
  await page.keyboard.press('Enter')
  await kennel.expectText('This is pup')
  await expect(page.getByTestId('console-found')).toHaveText('1 of 1')
  await page.getByTestId('console-search').fill('00000010')
  await expect(page.getByTestId('console-found')).toHaveText(/^\d+ of \d+$/)
  await page.getByTestId('console-search').fill('no such text')
  await expect(page.getByTestId('console-found')).toHaveText('Not found')
  await page.keyboard.press('Escape')
  await page.keyboard.press('ArrowUp')
  await kennel.expectText(/pup\$ hexdump \/bin\/sh/)
})

test('copy and paste; several lines ask first', async ({ kennel }) => {
  const { page } = kennel
  await kennel.firstRun()
  await kennel.type('echo to be copied | cat')
  await kennel.prompt()
  await page.getByTestId('console-select-all').click()
  await page.getByTestId('console-copy').click()
  expect(await page.evaluate(() => navigator.clipboard.readText())).toContain('to be copied')
  await page.evaluate(() => navigator.clipboard.writeText('echo pasted | cat'))
  await page.getByTestId('console-paste').click()
  await kennel.terminal().click()
  await page.keyboard.press('Enter')
  await kennel.expectText(/cat\s*pasted/)
  await page.evaluate(() => navigator.clipboard.writeText('echo one | cat\necho two | cat\n'))
  await page.getByTestId('console-paste').click()
  await expect(page.getByTestId('paste-confirm')).toBeVisible()
  expect(await kennel.screen()).not.toContain('echo one')
  await page.getByTestId('paste-confirm').click()
  await kennel.expectText(/cat\s*one/)
  await kennel.expectText(/cat\s*two/)
})

test('clear empties the screen and stays empty for the next view', async ({ kennel }) => {
  const { page } = kennel
  await kennel.firstRun()
  await page.getByTestId('console-clear').click()
  await expect(kennel.terminal().locator('.xterm-rows')).not.toContainText('This is pup')
  await kennel.go('Guests')
  await kennel.guest('pup').getByRole('link', { name: 'pup' }).click()
  await kennel.prompt()
  expect(await kennel.screen()).not.toContain('This is pup')
})

test('text is kept while nobody looks, and two views show the same', async ({ kennel, context }) => {
  await kennel.firstRun()
  await kennel.type('sleep 1; echo finished unseen | cat')
  await kennel.go('Guests')
  await kennel.page.waitForTimeout(1500)
  await kennel.guest('pup').getByRole('link', { name: 'pup' }).click()
  await kennel.expectText(/cat\s*finished unseen/)
  // Two windows on one console: the browser's way.
  if (!(kennel.front instanceof WebFront)) return
  const second = await context.newPage()
  await second.goto(kennel.front.url)
  await second.getByTestId('guest-pup').getByRole('link', { name: 'pup' }).click()
  await expect(second.getByTestId('terminal').locator('.xterm-rows')).toContainText('finished unseen')
  await second.getByTestId('terminal').click()
  await second.keyboard.type('echo from the second view | cat\n')
  await kennel.expectText(/cat\s*from the second view/)
})

test('hostile output changes neither title nor clipboard, and runs nothing', async ({ kennel }, testInfo) => {
  const { page } = kennel
  const file = testInfo.outputPath('hostile.img')
  const esc = '\x1b'
  const payload =
    `${esc}]0;owned${esc}\\${esc}]2;owned\x07${esc}]52;c;b3duZWQ=\x07${esc}]8;;javascript:alert(1)${esc}\\link${esc}]8;;${esc}\\` +
    `<img src=x onerror="document.title='owned'">${esc}[6n${esc}[c\r\nharmless end\r\n`
  await writeFile(file, payload.padEnd(1024, '\0'))
  await page.evaluate(() => navigator.clipboard.writeText('untouched'))
  await page.getByTestId('new-guest').click()
  await page.locator('#g-disk').setInputFiles(file)
  await expect(page.getByTestId('wizard')).toContainText('hostile.img')
  await page.getByTestId('wizard-save').click()
  await kennel.prompt()
  const title = await page.title()
  await kennel.type('cat /dev/vda')
  await kennel.expectText('harmless end')
  expect(await page.title()).toBe(title)
  expect(await page.evaluate(() => navigator.clipboard.readText())).toBe('untouched')
  await expect(page.getByTestId('terminal').locator('img')).toHaveCount(0)
})

test('50 MB through a console: nothing is lost and the window answers meanwhile', async ({ kennel }, testInfo) => {
  test.setTimeout(240_000)
  const { page } = kennel
  const SIZE = 50 * 1024 * 1024
  const file = testInfo.outputPath('flood.img')
  const data = Buffer.alloc(SIZE)
  for (let at = 0, line = 0; at < SIZE; at += 64, line++)
    data.write(`line ${String(line).padStart(9, '0')} of the flood`.padEnd(63, '.') + '\n', at)
  await writeFile(file, data)
  await page.getByTestId('new-guest').click()
  await page.locator('#g-disk').setInputFiles(file)
  await expect(page.getByTestId('wizard')).toContainText('flood.img')
  await page.getByTestId('wizard-save').click()
  await kennel.prompt()
  await page.getByRole('button', { name: 'Log to file' }).click()
  await kennel.type('cat /dev/vda')
  await kennel.expectText('of the flood')
  // The window answers while it goes on.
  await kennel.go('Settings')
  await expect(page.getByTestId('set-cpus')).toBeVisible()
  await kennel.go('Guests')
  await kennel.expectState('pup', 'running')
  await kennel.guest('pup').getByRole('link', { name: 'pup' }).click()
  const last = SIZE / 64 - 1
  await expect(kennel.terminal().locator('.xterm-rows')).toContainText(`line ${String(last).padStart(9, '0')}`, {
    timeout: 200_000,
  })
  await kennel.prompt()
  await page.getByRole('button', { name: 'Log to file' }).click()
  const [name] = await readdir(join(kennel.front.home, 'logs'))
  const log = (await readFile(join(kennel.front.home, 'logs', name ?? ''), 'latin1')).replaceAll('\r\n', '\n')
  const start = log.indexOf('line 000000000')
  expect(start).toBeGreaterThan(0)
  expect(log.slice(start, start + SIZE) === data.toString('latin1')).toBe(true)
})
