/** What people do with Kennel, as the journeys say it; one set of journeys for the web front and the desktop application. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type BrowserContext, expect, type Locator, type Page, test as base } from '@playwright/test'
import { DesktopApp, type Front, WebFront, whyNoElectron } from './front.ts'

/** The application as a person uses it. */
export class Kennel {
  readonly front: Front
  private readonly context: BrowserContext
  private current: Page | null = null
  /** What went wrong in the page, by itself. */
  readonly problems: string[] = []

  constructor(front: Front, context: BrowserContext) {
    this.front = front
    this.context = context
  }

  /** The main window. Another one after restart(). */
  get page(): Page {
    if (this.current === null) throw new Error('Kennel is not open')
    return this.current
  }

  async open(): Promise<void> {
    const page = await this.front.open(this.context)
    if (page !== this.current) this.watch(page)
    this.current = page
    await expect(page.getByTestId('run-pup').or(page.getByTestId('new-guest')).first()).toBeVisible()
  }

  /** Ends Kennel, does something to its files, and starts it again. */
  async restart(between: () => void = () => {}): Promise<void> {
    await this.front.close()
    between()
    await this.open()
  }

  private watch(page: Page): void {
    page.on('pageerror', (error) => this.problems.push(error.message))
    page.on('console', (message) => {
      // A server that was stopped on purpose.
      if (message.type() === 'error' && !message.text().includes('/ws')) this.problems.push(message.text())
    })
  }

  /** From the empty window to pup's prompt. */
  async firstRun(): Promise<void> {
    await this.page.getByTestId('run-pup').click()
    await this.prompt()
  }

  terminal(nth = 0): Locator {
    return this.page.getByTestId('terminal').nth(nth)
  }

  /** What a console shows, rows joined. */
  async screen(nth = 0): Promise<string> {
    return this.terminal(nth).locator('.xterm-rows').innerText()
  }

  async expectText(text: string | RegExp, nth = 0): Promise<void> {
    await expect(this.terminal(nth).locator('.xterm-rows')).toContainText(text)
  }

  prompt(nth = 0): Promise<void> {
    return this.expectText(/pup\$\s*$/, nth)
  }

  async type(text: string, nth = 0): Promise<void> {
    await this.terminal(nth).click()
    await this.page.keyboard.type(text)
    await this.page.keyboard.press('Enter')
  }

  async go(place: 'Guests' | 'CPU inspector' | 'Host' | 'Logs' | 'Settings'): Promise<void> {
    await this.page.getByTestId(`nav-${place}`).click()
  }

  guest(name: string): Locator {
    return this.page.getByTestId(`guest-${name}`)
  }

  async expectState(name: string, state: string): Promise<void> {
    await expect(this.guest(name).getByTestId('guest-state')).toHaveAttribute('data-state', state)
  }

  /** An entry of a guest's menu. */
  async menu(name: string, entry: string): Promise<void> {
    await this.guest(name).getByTestId('more').click()
    await this.page.getByTestId(entry).click()
  }
}

interface Options {
  kind: 'web' | 'desktop'
}

export const test = base.extend<Options & { kennel: Kennel }>({
  kind: ['web', { option: true }],
  kennel: async ({ kind, context }, use, testInfo) => {
    const why = kind === 'desktop' ? whyNoElectron() : undefined
    testInfo.skip(why !== undefined, why ?? '')
    const home = await mkdtemp(join(tmpdir(), 'kennel-e2e-'))
    const kennel = new Kennel(kind === 'web' ? new WebFront(home) : new DesktopApp(home), context)
    await kennel.open()
    await use(kennel)
    await kennel.front.close()
    await rm(home, { recursive: true, force: true })
    expect(kennel.problems).toEqual([])
  },
})

export { expect }
