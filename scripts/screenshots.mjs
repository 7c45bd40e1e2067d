/**
 * Pictures of every view, light and dark, from wide to a phone's width, empty, busy and failed: for looking at, and three for the README.
 *
 *   npm run screenshots        into test-results/screenshots; --readme renews docs/images too
 */
import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { chromium } from '@playwright/test'
import { ensureBrowser } from './browser.mjs'

const root = join(import.meta.dirname, '..')
const out = join(root, 'test-results', 'screenshots')
/** Small enough that the README's pictures are read without opening them. */
const README = { inspector: 'dark', guests: 'light', consoles: 'dark' }
const README_SIZE = { width: 1200, height: 750 }
const SIZES = {
  wide: { width: 1440, height: 900 },
  middle: { width: 1024, height: 700 },
  narrow: { width: 700, height: 900 },
  phone: { width: 420, height: 800 },
}

const home = mkdtempSync(join(tmpdir(), 'kennel-screenshots-'))
const server = spawn(process.execPath, [join(root, 'bin', 'kennel'), 'serve', '--port', '0'], {
  env: { ...process.env, KENNEL_HOME: home },
  stdio: ['ignore', 'pipe', 'inherit'],
})
const url = await new Promise((resolve, reject) => {
  let text = ''
  server.stdout.on('data', (chunk) => {
    const match = /Kennel is at (\S+)/.exec((text += chunk))
    if (match) resolve(match[1])
  })
  server.once('exit', (code) => reject(new Error(`kennel serve ended with ${code}`)))
})

mkdirSync(out, { recursive: true })
const browser = await chromium.launch({ executablePath: await ensureBrowser() })
const page = await browser.newPage({ viewport: SIZES.wide, deviceScaleFactor: 1 })
await page.goto(url)

/** The view as it is now, in both themes and sizes. */
async function shoot(name) {
  for (const theme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme: theme })
    for (const [size, viewport] of Object.entries(SIZES)) {
      await page.setViewportSize(viewport)
      await page.waitForTimeout(400)
      await page.screenshot({ path: join(out, `${name}-${theme}-${size}.png`) })
    }
  }
  await page.setViewportSize(SIZES.wide)
  console.log(name)
}
/** The view as the README shows it. */
async function shootForReadme(name) {
  if (!process.argv.includes('--readme')) return
  mkdirSync(join(root, 'docs', 'images'), { recursive: true })
  await page.emulateMedia({ colorScheme: README[name] })
  await page.setViewportSize(README_SIZE)
  await page.waitForTimeout(1500)
  await page.screenshot({ path: join(root, 'docs', 'images', `${name}.png`) })
  await page.setViewportSize(SIZES.wide)
}
const go = (place) => page.getByTestId(`nav-${place}`).click()
const row = (name) => page.getByTestId(`guest-${name}`)
const open = async (name) => {
  await go('Guests')
  await row(name).getByRole('link', { name, exact: true }).click()
  await page.getByTestId('terminal').waitFor()
}
async function type(text) {
  await page.getByTestId('terminal').first().click()
  await page.keyboard.type(`${text}\n`)
}
const prompt = () =>
  page.waitForFunction(() => /pup\$\s*$/.test(document.querySelector('.xterm-rows')?.textContent ?? ''))

try {
  await page.getByTestId('run-pup').waitFor()
  await shoot('guests-empty')
  await page.getByTestId('run-pup').click()
  await prompt()
  await type('help')
  await page.waitForTimeout(500)
  await page.getByTestId('activity').click()
  await page.waitForTimeout(1000)
  await shoot('console')
  await page.getByTestId('console-find').click()
  await page.getByTestId('console-search').fill('pup')
  await shoot('console-search')
  await page.keyboard.press('Escape')
  await go('Guests')
  for (let n = 0; n < 3; n++) {
    await row('pup').getByTestId('more').click()
    await page.getByTestId('clone').click()
  }
  for (const name of ['pup 2', 'pup 3', 'pup 4']) {
    await open(name)
    await page.getByTestId('start').click()
    await prompt()
  }
  await type('crash hypercall')
  await page.getByTestId('crash-banner').waitFor()
  await shoot('console-crashed')
  for (const name of ['pup', 'pup 2']) {
    await open(name)
    await type('bench &')
    await type('loop 600 &')
    await type('loop 600 &')
  }
  await open('pup 3')
  await type('hv')
  await go('Guests')
  await page.waitForTimeout(4000)
  await shoot('guests-busy')
  await shootForReadme('guests')
  for (const name of ['pup', 'pup 2', 'pup 3']) await page.getByLabel(`Select ${name}`, { exact: true }).check()
  await shoot('guests-selected')
  await page.getByTestId('open-split').click()
  await page.waitForTimeout(1000)
  await shoot('split')
  await shootForReadme('consoles')
  await go('CPU inspector')
  await page.waitForTimeout(3000)
  await shoot('inspector')
  await shootForReadme('inspector')
  await page.getByTestId('explain').click()
  await shoot('inspector-explained')
  await page.getByTestId('explain').click()
  await page.getByTestId('debug-pause').click()
  await page.waitForTimeout(500)
  await shoot('inspector-paused')
  await page.getByTestId('debug-resume').click()
  await go('Host')
  await page.waitForTimeout(4000)
  await shoot('host')
  await go('Logs')
  await shoot('logs')
  await go('Settings')
  await shoot('settings')
  await go('Guests')
  await page.getByTestId('new-guest').click()
  await shoot('wizard')
  await page.getByTestId('kind-kernel').check()
  await page.getByTestId('wizard-save').click()
  await shoot('wizard-refused')
  await page.keyboard.press('Escape')
  await row('pup 4').getByTestId('more').click()
  await page.getByTestId('delete').click()
  await page.getByTestId('notice').first().waitFor()
  await shoot('guests-undo')
  await page.getByTestId('trash').click()
  await shoot('trash')
  await page.keyboard.press('Escape')
  await page.getByTestId('notices-open').click()
  await shoot('notices')
  await page.keyboard.press('Escape')
  await page.keyboard.press('Control+k')
  await shoot('palette')
  await page.keyboard.press('Escape')
  await page.keyboard.press('Control+/')
  await shoot('shortcuts')
  await page.keyboard.press('Escape')
} finally {
  await browser.close()
  server.kill('SIGTERM')
  await new Promise((resolve) => server.once('exit', resolve))
  rmSync(home, { recursive: true, force: true })
}
