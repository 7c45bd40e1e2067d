import { defineConfig } from '@playwright/test'

/** Journeys through the real renderer, the real engine and the real pup. The browser is found by scripts/browser.mjs. */
export default defineConfig<{ kind: 'web' | 'desktop' }>({
  testDir: '.',
  outputDir: '../test-results/e2e',
  timeout: 180_000,
  expect: { timeout: 30_000 },
  // Each journey has an engine of its own, which wants a processor.
  workers: 1,
  fullyParallel: false,
  forbidOnly: true,
  // A machine under load may be late once; what fails twice is wrong.
  retries: 1,
  use: {
    viewport: { width: 1280, height: 800 },
    launchOptions: {
      ...(process.env['KENNEL_CHROMIUM'] ? { executablePath: process.env['KENNEL_CHROMIUM'] } : {}),
      args: ['--disable-gpu'],
    },
    permissions: ['clipboard-read', 'clipboard-write'],
    trace: 'retain-on-failure',
    screenshot: 'only-on-failure',
  },
  projects: [
    { name: 'web', use: { kind: 'web' } },
    { name: 'desktop', use: { kind: 'desktop' } },
  ],
})
