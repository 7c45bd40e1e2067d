/**
 * Which browser the end-to-end tests drive: $KENNEL_CHROMIUM, the system's Chromium or Chrome, Playwright's own, or one installed now
 * (Debian's package as root, otherwise Playwright's download).
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable']

function onPath(name) {
  for (const folder of (process.env.PATH ?? '').split(':')) {
    const file = join(folder, name)
    if (folder !== '' && existsSync(file)) return file
  }
  return undefined
}

async function playwrightsOwn() {
  const { chromium } = await import('@playwright/test')
  const file = chromium.executablePath()
  return existsSync(file) ? file : undefined
}

/** Path of a browser that is there, or undefined. */
export async function findBrowser() {
  const wanted = process.env.KENNEL_CHROMIUM
  if (wanted && existsSync(wanted)) return wanted
  return NAMES.map(onPath).find((file) => file !== undefined) ?? (await playwrightsOwn())
}

/** Path of a browser, installed if need be, or undefined after a line that says what to do. */
export async function ensureBrowser() {
  const found = await findBrowser()
  if (found) return found
  console.log('No Chromium here: installing one for the end-to-end tests.')
  if (process.getuid?.() === 0 && onPath('apt-get')) {
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
    const quiet = { stdio: ['ignore', 'ignore', 'inherit'], env }
    spawnSync('apt-get', ['update', '-qq'], quiet)
    spawnSync('apt-get', ['install', '-y', '-qq', '--no-install-recommends', 'chromium', 'fonts-dejavu-core'], quiet)
  } else {
    try {
      execFileSync('npx', ['playwright', 'install', 'chromium'], { stdio: ['ignore', 'ignore', 'inherit'] })
    } catch {
      // Told below.
    }
  }
  const installed = await findBrowser()
  if (!installed) console.log('No browser could be installed: install Chromium, or set KENNEL_CHROMIUM to its path.')
  return installed
}
