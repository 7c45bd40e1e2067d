/** Everybody can use it: keyboard alone, both themes, no barrier that axe finds. */
import AxeBuilder from '@axe-core/playwright'
import { expect, test } from './kennel.ts'

test('keyboard alone: run, type, inspect, pause, palette, delete, undo', async ({ kennel }) => {
  const { page } = kennel
  await expect(page.getByTestId('run-pup')).toBeFocused()
  await page.keyboard.press('Enter')
  await kennel.prompt()
  await page.keyboard.type('echo by keyboard | cat\n')
  await kennel.expectText(/cat\s*by keyboard/)
  await page.keyboard.press('Alt+2')
  await expect(page.getByTestId('world')).toBeVisible()
  await page.keyboard.press('F8')
  await expect(page.getByTestId('stop-reason')).toBeVisible()
  await page.keyboard.press('F10')
  await page.keyboard.press('F8')
  await expect(page.getByTestId('stop-reason')).toHaveCount(0)
  await page.keyboard.press('Control+k')
  await page.getByTestId('palette-input').fill('pup: Force')
  await page.keyboard.press('Enter')
  await page.keyboard.press('Alt+1')
  await kennel.expectState('pup', 'stopped')
  await page.keyboard.press('Control+/')
  await expect(page.getByRole('dialog')).toContainText('Step one instruction')
  await page.keyboard.press('Escape')
  await kennel.guest('pup').getByTestId('more').focus()
  await page.keyboard.press('Enter')
  await page.getByTestId('delete').focus()
  await page.keyboard.press('Enter')
  await expect(kennel.guest('pup')).toHaveCount(0)
  await page.getByTestId('notice-action').focus()
  await page.keyboard.press('Enter')
  await expect(kennel.guest('pup')).toHaveCount(1)
})

test('the theme follows the system, or the choice', async ({ kennel }) => {
  const { page } = kennel
  const theme = (): Promise<string | undefined> => page.evaluate(() => document.documentElement.dataset['theme'])
  const background = (): Promise<string> => page.evaluate(() => getComputedStyle(document.body).backgroundColor)
  await page.emulateMedia({ colorScheme: 'light' })
  await expect.poll(theme).toBe('light')
  const light = await background()
  await page.emulateMedia({ colorScheme: 'dark' })
  await expect.poll(theme).toBe('dark')
  expect(await background()).not.toBe(light)
  await kennel.go('Settings')
  await page.getByTestId('set-theme').selectOption('light')
  await expect.poll(theme).toBe('light')
  await page.reload()
  await expect.poll(theme).toBe('light')
})

for (const theme of ['light', 'dark'] as const) {
  test(`axe finds nothing in any view, ${theme}`, async ({ kennel }) => {
    test.setTimeout(120_000)
    const { page } = kennel
    await page.emulateMedia({ colorScheme: theme })
    const check = async (view: string): Promise<void> => {
      const { violations } = await new AxeBuilder({ page }).analyze()
      const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.target.join(' ')).join(', ')}`)
      expect(found, view).toEqual([])
    }
    await check('empty')
    await kennel.firstRun()
    await check('console')
    await kennel.type('crash hypercall')
    await expect(page.getByTestId('crash-banner')).toBeVisible()
    await check('crashed')
    await kennel.go('Guests')
    await kennel.guest('pup').getByTestId('start').click()
    await kennel.expectState('pup', 'running')
    await check('guests')
    await page.getByTestId('new-guest').click()
    await expect(page.getByTestId('wizard')).toBeVisible()
    await check('wizard')
    await page.keyboard.press('Escape')
    for (const place of ['CPU inspector', 'Host', 'Logs', 'Settings'] as const) {
      await kennel.go(place)
      await page.waitForTimeout(700)
      await check(place)
    }
    await page.keyboard.press('Control+k')
    await expect(page.getByTestId('palette-input')).toBeVisible()
    await check('palette')
  })
}
