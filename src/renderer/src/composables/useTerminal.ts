/**
 * A terminal (xterm) attached to a guest's console. What a guest prints is hostile: OSC 52 (clipboard) and title
 * sequences have no handlers here, links are opened only after a question. Bytes are acknowledged when they are on the
 * screen; that is the guest's credit. When the engine goes away the text stays, and a new engine's console continues
 * below it.
 */
import { FitAddon } from '@xterm/addon-fit'
import { SearchAddon } from '@xterm/addon-search'
import { Unicode11Addon } from '@xterm/addon-unicode11'
import { WebLinksAddon } from '@xterm/addon-web-links'
import { Terminal, type ITheme } from '@xterm/xterm'
import { onBeforeUnmount, onMounted, ref, watch, type Ref } from 'vue'
import { t } from '../i18n'
import type { ConsoleLink } from '../services/client'
import { useEngine } from '../services/engine'
import { useConnectionStore } from '../stores/connection'
import { useNoticesStore } from '../stores/notices'
import { useSettingsStore } from '../stores/settings'

/** Pasting faster than this many bytes at once is split, so that a line-editing guest keeps up. */
const PASTE_CHUNK = 1024

/** Where a search is: the match that is shown, counted from 1 (0: too far away to be counted), and how many there are. */
export interface SearchResult {
  at: number
  of: number
}

export interface TerminalHandle {
  terminal: Terminal
  /** What the last search found; null before the first. */
  found: Ref<SearchResult | null>
  /** Goes to a match: the last one when the text is new, otherwise the next or previous. An empty text ends the search. */
  find(text: string, direction: 'last' | 'next' | 'previous', caseSensitive: boolean): void
  selection: Ref<boolean>
  copy(): void
  paste(): Promise<void>
  /** A paste that waits for the user's word because it has several lines. */
  pendingPaste: Ref<string | null>
  confirmPaste(): void
  pendingLink: Ref<string | null>
  confirmLink(): void
  clear(): Promise<void>
  focus(): void
}

/** Colours of matches, on the console's dark ground in both themes. */
const MATCHES = {
  matchBackground: '#5c4a12',
  matchOverviewRuler: '#b08d2a',
  activeMatchBackground: '#a86a00',
  activeMatchColorOverviewRuler: '#ffb84d',
}

function themeOf(element: HTMLElement): ITheme {
  const style = getComputedStyle(element)
  return {
    background: style.getPropertyValue('--console-bg').trim(),
    foreground: style.getPropertyValue('--console-fg').trim(),
    cursor: style.getPropertyValue('--console-fg').trim(),
    selectionBackground: '#3b5b8c',
  }
}

export function useTerminal(host: Ref<HTMLElement | null>, guestId: Ref<string>): TerminalHandle {
  const engine = useEngine()
  const settings = useSettingsStore()
  const connection = useConnectionStore()
  const notices = useNoticesStore()
  const selection = ref(false)
  const pendingPaste = ref<string | null>(null)
  const pendingLink = ref<string | null>(null)
  const found = ref<SearchResult | null>(null)
  let link: ConsoleLink | null = null
  let wanted = 0

  const terminal = new Terminal({
    scrollback: settings.settings?.scrollback ?? 5000,
    fontSize: settings.settings?.consoleFontSize ?? 14,
    fontFamily: settings.settings?.consoleFontFamily ?? 'monospace',
    allowProposedApi: true,
    screenReaderMode: false,
    macOptionIsMeta: true,
  })
  const fit = new FitAddon()
  const search = new SearchAddon()
  terminal.loadAddon(fit)
  terminal.loadAddon(search)
  terminal.loadAddon(new Unicode11Addon())
  terminal.unicode.activeVersion = '11'
  terminal.loadAddon(new WebLinksAddon((_event, uri) => (pendingLink.value = uri)))
  // OSC 52 would let a guest read or write the clipboard, OSC 0-2 rename the window: swallowed.
  for (const osc of [0, 1, 2, 52]) terminal.parser.registerOscHandler(osc, () => true)

  // Only with decorations are matches counted.
  search.onDidChangeResults(({ resultIndex, resultCount }) => (found.value = { at: resultIndex + 1, of: resultCount }))
  function find(text: string, direction: 'last' | 'next' | 'previous', caseSensitive: boolean): void {
    if (direction === 'last') terminal.clearSelection()
    if (text === '') {
      search.clearDecorations()
      terminal.clearSelection()
      found.value = null
      return
    }
    const options = { caseSensitive, decorations: MATCHES }
    if (direction === 'next') search.findNext(text, options)
    else search.findPrevious(text, options)
  }

  const encoder = new TextEncoder()
  function send(text: string): void {
    const bytes = encoder.encode(text)
    for (let at = 0; at < bytes.length; at += PASTE_CHUNK) link?.send(bytes.slice(at, at + PASTE_CHUNK))
  }
  terminal.onData(send)
  terminal.onBinary((data) => link?.send(Uint8Array.from(data, (c) => c.charCodeAt(0))))
  terminal.onSelectionChange(() => (selection.value = terminal.hasSelection()))
  terminal.onBell(() => {
    if (settings.settings?.bell) host.value?.animate([{ filter: 'brightness(1.6)' }, { filter: 'none' }], 150)
  })

  async function attach(): Promise<void> {
    const mine = ++wanted
    link?.close()
    link = null
    const opened = await notices.guard(engine.openConsole(guestId.value))
    if (!opened) return
    if (mine !== wanted) {
      opened.close()
      return
    }
    link = opened
    terminal.reset()
    terminal.write(opened.screen)
    opened.onOutput((bytes, done) => terminal.write(bytes, done))
  }

  terminal.attachCustomKeyEventHandler((event) => {
    if (event.type !== 'keydown' || !event.ctrlKey || !event.shiftKey) return true
    switch (event.code) {
      case 'KeyC':
        copy()
        break
      case 'KeyV':
        void paste()
        break
      case 'KeyA':
        terminal.selectAll()
        break
      case 'KeyK':
        void clear()
        break
      case 'KeyF':
        host.value?.dispatchEvent(new CustomEvent('console-search', { bubbles: true }))
        break
      default:
        return true
    }
    event.preventDefault()
    return false
  })

  function copy(): void {
    if (terminal.hasSelection()) void notices.guard(navigator.clipboard.writeText(terminal.getSelection()))
  }
  async function paste(): Promise<void> {
    const text = await notices.guard(navigator.clipboard.readText())
    if (text) offerPaste(text)
  }
  function offerPaste(text: string): void {
    if (/[\r\n]./s.test(text)) pendingPaste.value = text
    else terminal.paste(text)
  }
  function confirmPaste(): void {
    if (pendingPaste.value !== null) terminal.paste(pendingPaste.value)
    pendingPaste.value = null
    terminal.focus()
  }
  function confirmLink(): void {
    const url = pendingLink.value
    pendingLink.value = null
    if (!url || !/^https?:/.test(url)) return
    if (window.kennel) window.kennel.openExternal(url)
    else window.open(url, '_blank', 'noopener,noreferrer')
  }
  async function clear(): Promise<void> {
    terminal.clear()
    await notices.guard(engine.request('console.clear', { guestId: guestId.value }))
  }

  let observer: ResizeObserver | null = null
  function interceptPaste(event: ClipboardEvent): void {
    event.preventDefault()
    event.stopPropagation()
    offerPaste(event.clipboardData?.getData('text/plain') ?? '')
  }
  onMounted(() => {
    const element = host.value
    if (!element) return
    terminal.options.theme = themeOf(element)
    terminal.open(element)
    // The guest's terminal is 80 columns by convention; fit chooses the rows and never fewer columns than that.
    const refit = (): void => {
      const size = fit.proposeDimensions()
      if (size && Number.isFinite(size.cols)) terminal.resize(Math.max(20, size.cols), Math.max(4, size.rows))
    }
    refit()
    observer = new ResizeObserver(refit)
    observer.observe(element)
    element.addEventListener('paste', interceptPaste, { capture: true })
    void attach()
  })
  onBeforeUnmount(() => {
    wanted++
    observer?.disconnect()
    link?.close()
    terminal.dispose()
  })
  watch(guestId, () => void attach())
  watch(
    () => connection.engineId,
    (now, before) => {
      // Another engine: its console starts empty; ours keeps what was printed.
      if (before !== '' && now !== before) void reattachBelow()
    },
  )
  async function reattachBelow(): Promise<void> {
    const mine = ++wanted
    const opened = await engine.openConsole(guestId.value).catch(() => null)
    if (!opened || mine !== wanted) return
    link = opened
    terminal.write(`\r\n\x1b[3m── ${t('useTerminal.startedAgain')} ──\x1b[0m\r\n`)
    terminal.write(opened.screen)
    opened.onOutput((bytes, done) => terminal.write(bytes, done))
  }
  watch(
    () => settings.theme,
    () => {
      if (host.value) terminal.options.theme = themeOf(host.value)
    },
  )
  watch(
    () => [settings.settings?.consoleFontSize, settings.settings?.consoleFontFamily] as const,
    ([size, family]) => {
      if (size) terminal.options.fontSize = size
      if (family) terminal.options.fontFamily = family
      fit.fit()
    },
  )

  return {
    terminal,
    found,
    find,
    selection,
    copy,
    paste,
    pendingPaste,
    confirmPaste,
    pendingLink,
    confirmLink,
    clear,
    focus: () => terminal.focus(),
  }
}
