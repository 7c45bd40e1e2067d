/** Guests: made, run, changed, lost and found again. */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { mkdirSync, writeFileSync } from 'node:fs'
import type { Page } from '@playwright/test'
import { expect, test } from './kennel.ts'

test('first run: one click from the empty window to the prompt', async ({ kennel }) => {
  await kennel.firstRun()
  await kennel.type('echo it works | cat')
  await kennel.expectText(/cat\s*it works/)
  await kennel.go('Guests')
  await kennel.expectState('pup', 'running')
})

test('first run: Enter alone does it too', async ({ kennel }) => {
  await expect(kennel.page.getByTestId('run-pup')).toBeFocused()
  await kennel.page.keyboard.press('Enter')
  await kennel.prompt()
})

test('three guests at once, side by side, each with a console of its own', async ({ kennel }) => {
  const { page } = kennel
  await kennel.firstRun()
  await kennel.go('Guests')
  await kennel.menu('pup', 'clone')
  await kennel.menu('pup', 'clone')
  for (const name of ['pup 2', 'pup 3']) {
    await kennel.guest(name).getByTestId('start').click()
    await kennel.expectState(name, 'running')
  }
  for (const name of ['pup', 'pup 2', 'pup 3']) await page.getByLabel(`Select ${name}`, { exact: true }).check()
  await page.getByTestId('open-split').click()
  await expect(page.getByTestId('terminal')).toHaveCount(3)
  for (const nth of [0, 1, 2]) {
    await kennel.prompt(nth)
    await kennel.type(`echo console ${nth} | cat`, nth)
  }
  for (const nth of [0, 1, 2]) {
    await kennel.expectText(new RegExp(`cat\\s*console ${nth}`), nth)
    expect(await kennel.screen(nth)).not.toContain(`console ${(nth + 1) % 3}`)
  }
})

test('pause holds a guest, resume lets it go on', async ({ kennel }) => {
  const { page } = kennel
  await kennel.firstRun()
  await page.getByTestId('pause').click()
  await expect(page.getByTestId('guest-state').first()).toHaveText(/paused/i)
  await kennel.type('echo after the pause | cat')
  // Long enough for a running guest to have answered many times over.
  await page.waitForTimeout(500)
  expect(await kennel.screen()).not.toContain('after the pause')
  await page.getByTestId('resume').click()
  await kennel.expectText('after the pause')
})

test('a crash shows its reason, in the console, the list and a notice; the others go on', async ({ kennel }) => {
  const { page } = kennel
  await kennel.firstRun()
  await kennel.go('Guests')
  await kennel.menu('pup', 'clone')
  await kennel.guest('pup 2').getByTestId('start').click()
  await kennel.expectState('pup 2', 'running')
  await kennel.guest('pup').getByRole('link', { name: 'pup' }).click()
  await kennel.prompt()
  await kennel.type('crash hypercall')
  await expect(page.getByTestId('crash-banner')).toContainText('hypercall')
  await expect(page.getByTestId('notice')).toContainText('killed by the hypervisor')
  await kennel.go('Guests')
  await kennel.expectState('pup', 'crashed')
  await expect(kennel.guest('pup').getByTestId('crash-reason')).toContainText('hypercall')
  await kennel.expectState('pup 2', 'running')
  await kennel.guest('pup').getByTestId('start').click()
  await kennel.expectState('pup', 'running')
})

test('clone, delete, undo, trash', async ({ kennel }) => {
  const { page } = kennel
  await kennel.firstRun()
  await kennel.go('Guests')
  await kennel.menu('pup', 'clone')
  await kennel.expectState('pup 2', 'defined')
  await kennel.menu('pup 2', 'delete')
  await expect(kennel.guest('pup 2')).toHaveCount(0)
  await page.getByTestId('notice-action').click()
  await kennel.expectState('pup 2', 'defined')
  await kennel.menu('pup 2', 'delete')
  await page.getByTestId('trash').click()
  await page.getByTestId('undelete-pup 2').click()
  await page.keyboard.press('Escape')
  await expect(kennel.guest('pup 2')).toHaveCount(1)
})

test('several guests at once: start, stop, delete with one undo', async ({ kennel }) => {
  const { page } = kennel
  await kennel.firstRun()
  await kennel.go('Guests')
  await kennel.menu('pup', 'clone')
  await kennel.menu('pup', 'clone')
  await page.getByTestId('filter').fill('never')
  await page.getByTestId('select-all').check()
  await expect(page.getByTestId('bulk')).toContainText('2 selected')
  await page.getByTestId('filter').fill('')
  await page.getByTestId('bulk-start').click()
  for (const name of ['pup 2', 'pup 3']) await kennel.expectState(name, 'running')
  await page.getByTestId('bulk-stop').click()
  for (const name of ['pup 2', 'pup 3']) await kennel.expectState(name, 'stopped')
  await page.getByTestId('bulk-delete').click()
  await expect(page.locator('.guest')).toHaveCount(1)
  await page.getByTestId('notice-action').click()
  await expect(page.locator('.guest')).toHaveCount(3)
  await kennel.expectState('pup', 'running')
})

test('rename from the menu; a name that cannot be is refused with its reason', async ({ kennel }) => {
  const { page } = kennel
  await kennel.firstRun()
  await kennel.go('Guests')
  await kennel.menu('pup', 'rename')
  await page.getByTestId('rename-name').fill('a/b')
  await page.getByTestId('rename-save').click()
  await expect(page.getByRole('alert')).toContainText('no slashes')
  await page.getByTestId('rename-name').fill('teacher')
  await page.keyboard.press('Enter')
  await kennel.expectState('teacher', 'running')
})

/** Drops a file on the window, as a person does from the file manager. */
async function drop(page: Page, name: string, bytes: Buffer): Promise<void> {
  const transfer = await page.evaluateHandle(
    ([file, base64]) => {
      const data = new DataTransfer()
      data.items.add(new File([Uint8Array.from(atob(base64), (c) => c.charCodeAt(0))], file))
      return data
    },
    [name, bytes.toString('base64')] as const,
  )
  await page.dispatchEvent('main', 'dragenter', { dataTransfer: transfer })
  await expect(page.getByTestId('drop-target')).toBeVisible()
  await page.dispatchEvent('main', 'drop', { dataTransfer: transfer })
  await expect(page.getByTestId('drop-target')).toHaveCount(0)
}

test('a kernel and an exported guest can be dropped anywhere on the window', async ({ kennel }, testInfo) => {
  const { page } = kennel
  await kennel.firstRun()
  await kennel.go('Guests')
  const [download] = await Promise.all([page.waitForEvent('download'), kennel.menu('pup', 'export')])
  const file = testInfo.outputPath('pup.kennel')
  await download.saveAs(file)
  await kennel.go('Host')
  await drop(page, 'pup.kennel', await readFile(file))
  await kennel.expectState('pup 2', 'defined')
  await kennel.go('Logs')
  await drop(page, 'vmlinux-3.1', Buffer.alloc(5000, 0x41))
  await expect(page.getByTestId('wizard')).toContainText('vmlinux-3.1')
  await expect(page.getByTestId('wizard-name')).toHaveValue('vmlinux-3')
})

test('the list and the console show CPU, disk and network of a guest', async ({ kennel }, testInfo) => {
  const { page } = kennel
  const file = testInfo.outputPath('disk.img')
  await writeFile(file, Buffer.alloc(8 * 1024 * 1024, 0x2e))
  await page.getByTestId('new-guest').click()
  await page.locator('#g-disk').setInputFiles(file)
  await expect(page.getByTestId('wizard')).toContainText('disk.img')
  await page.getByTestId('wizard-save').click()
  await kennel.prompt()
  await page.getByTestId('activity').click()
  await expect(page.getByTestId('figure-disk')).toHaveText('0 B/s')
  await kennel.type('cat /dev/vda | wc')
  await expect(page.getByTestId('figure-disk')).not.toHaveText('0 B/s')
  await expect(page.getByTestId('figure-cpu')).not.toHaveText('0 %')
  await kennel.go('Guests')
  await expect(kennel.guest('pup').getByTestId('figure-net')).toHaveText('0 B/s')
})

test('stop, edit, rename; what was changed is there after the server was started again', async ({ kennel }) => {
  const { page } = kennel
  await kennel.firstRun()
  await kennel.go('Guests')
  await kennel.guest('pup').getByTestId('stop').click()
  await kennel.expectState('pup', 'stopped')
  await kennel.menu('pup', 'edit')
  await page.getByTestId('wizard-name').fill('kernel course')
  await page.getByTestId('wizard-memory').fill('2')
  await page.getByTestId('wizard-save').click()
  await expect(page.getByRole('alert')).toContainText('at least 4 MiB')
  await page.getByTestId('wizard-memory').fill('32')
  await page.getByTestId('wizard-tags').fill('teaching, week 3')
  await page.getByTestId('wizard-notes').fill('Exercise 3')
  await page.getByTestId('wizard-save').click()
  await expect(kennel.guest('kernel course')).toContainText('Exercise 3')
  await kennel.restart()
  await expect(kennel.guest('kernel course')).toContainText('week 3')
  await expect(kennel.guest('kernel course')).toContainText('32 MiB')
})

test('export and import: the guest comes back from one file', async ({ kennel }, testInfo) => {
  const { page } = kennel
  await kennel.firstRun()
  await kennel.go('Guests')
  const [download] = await Promise.all([page.waitForEvent('download'), kennel.menu('pup', 'export')])
  expect(download.suggestedFilename()).toBe('pup.kennel')
  const file = testInfo.outputPath('pup.kennel')
  await download.saveAs(file)
  await page.getByTestId('import-file').setInputFiles(file)
  await kennel.expectState('pup 2', 'defined')
  const damaged = testInfo.outputPath('damaged.kennel')
  await writeFile(damaged, (await readFile(file)).subarray(0, 100))
  await page.getByTestId('import-file').setInputFiles(damaged)
  await expect(page.getByTestId('notice').filter({ hasText: 'damaged' })).toBeVisible()
})

test('an own kernel that is none fails with a sentence that names it', async ({ kennel }, testInfo) => {
  const { page } = kennel
  const file = testInfo.outputPath('holiday.jpg')
  await writeFile(file, Buffer.alloc(5000, 0x41))
  await page.getByTestId('new-guest').click()
  await page.getByTestId('kind-kernel').check()
  await page.getByTestId('wizard-name').fill('mine')
  await page.getByTestId('wizard-kernel').setInputFiles(file)
  await expect(page.getByTestId('wizard')).toContainText('holiday.jpg')
  await page.getByTestId('wizard-save').click()
  await expect(page.getByTestId('notice')).toContainText('holiday.jpg')
  await kennel.go('Guests')
  await kennel.expectState('mine', 'stopped')
  await expect(kennel.guest('mine')).toContainText('this is not a kernel')
  // What was said stays to be read after it left the corner.
  await page.getByTestId('notices-open').click()
  await expect(page.getByTestId('notices-past')).toContainText('holiday.jpg')
})

test('a new disk keeps what was written on it', async ({ kennel }) => {
  const { page } = kennel
  await page.getByTestId('new-guest').click()
  await page.getByTestId('new-disk-size').fill('4096')
  await page.getByTestId('new-disk').click()
  await page.getByTestId('wizard-save').click()
  await expect(page.getByRole('alert')).toContainText('at most 2048 MiB')
  await page.getByRole('button', { name: 'Remove disk 1' }).click()
  await page.getByTestId('new-disk-size').fill('4')
  await page.getByTestId('new-disk').click()
  await expect(page.getByTestId('wizard')).toContainText('new, 4 MiB')
  await page.getByTestId('wizard-save').click()
  await kennel.prompt()
  await kennel.type('write note kept over a restart; sync; reboot')
  await kennel.expectText('restarts')
  await kennel.prompt()
  await kennel.type('cat note')
  await kennel.expectText(/cat note\s*kept over a restart/)
})

test('a broken entry of the library is named, and the others are there', async ({ kennel }) => {
  await kennel.firstRun()
  await kennel.restart(() => {
    const folder = join(kennel.front.home, 'library', 'old-thing')
    mkdirSync(folder)
    writeFileSync(join(folder, 'guest.json'), '{"schema":1,"id":"old-thing"')
  })
  await expect(kennel.page.getByTestId('quarantined')).toContainText('old-thing')
  await expect(kennel.page.getByTestId('quarantined')).toContainText('not valid JSON')
  await expect(kennel.guest('pup')).toBeVisible()
})

test('the command line talks to the running server', async ({ kennel }) => {
  await kennel.firstRun()
  const list = await kennel.front.cli('ls')
  expect(list.stdout).toMatch(/^NAME +STATE[^]*\npup +running/)
  expect(await kennel.front.cli('stop', 'pup')).toMatchObject({ status: 0 })
  await kennel.go('Guests')
  await kennel.expectState('pup', 'stopped')
  expect(await kennel.front.cli('start', 'pup')).toMatchObject({ status: 0 })
  await kennel.expectState('pup', 'running')
  const refused = await kennel.front.cli('start', 'pup')
  expect(refused).toMatchObject({ status: 1 })
  expect(refused.stderr).toContain('cannot be started now')
  expect((await kennel.front.cli('start', 'nobody')).stderr).toContain('There is no guest “nobody”')
  expect((await kennel.front.cli('inspect', '0')).stdout).toMatch(/^CPU 0: /)
  expect((await kennel.front.cli('serve')).stderr).toContain('already running')
})
