/**
 * What no page of ours may do, whatever gets into it: leave its sandbox, go elsewhere, open windows, load anything from
 * a network, or use a permission beyond clipboard and notifications. (Electron's documentation, "Security", the checklist.)
 */
import type { BrowserWindow, Session, WebContents, WebPreferences } from 'electron'
import type { Electron } from './electron.ts'

export const APP_SCHEME = 'app'
export const APP_HOST = 'kennel'
export const APP_URL = `${APP_SCHEME}://${APP_HOST}/`

/** The clipboard for the consoles' Copy and Paste, and word of a crash. Electron grants everything unless told otherwise. */
const PERMISSIONS: ReadonlySet<string> = new Set(['clipboard-read', 'clipboard-sanitized-write', 'notifications'])
/** Schemes that stay inside the app. Pages make blob: addresses for files they offer to save. */
const LOCAL_SCHEMES: ReadonlySet<string> = new Set([`${APP_SCHEME}:`, 'blob:', 'data:', 'devtools:'])

function parse(url: string): URL | null {
  try {
    return new URL(url)
  } catch {
    return null
  }
}

/** Whether an address is one of the app's own pages. */
export function isOurs(url: string): boolean {
  const parsed = parse(url)
  return parsed?.protocol === `${APP_SCHEME}:` && parsed.host === APP_HOST
}

/** For every window: the page has no Node, its own JavaScript world, and a sandboxed process. */
export function lockedDown(preload: string): WebPreferences {
  return {
    preload,
    sandbox: true,
    contextIsolation: true,
    nodeIntegration: false,
    nodeIntegrationInWorker: false,
    nodeIntegrationInSubFrames: false,
    webSecurity: true,
    allowRunningInsecureContent: false,
    experimentalFeatures: false,
    webviewTag: false,
    navigateOnDragDrop: false,
    // The spelling checker fetches its dictionaries.
    spellcheck: false,
  }
}

/** Must run before Electron is ready. `openLink` is called for a link a page wanted to open in a window. */
export function lockDownApp(electron: Pick<Electron, 'app'>, openLink: (from: WebContents, url: string) => void): void {
  electron.app.enableSandbox()
  electron.app.on('web-contents-created', (_event, contents) => {
    contents.on('will-navigate', (event) => event.preventDefault())
    contents.on('will-frame-navigate', (event) => event.preventDefault())
    contents.on('will-redirect', (event) => event.preventDefault())
    contents.on('will-attach-webview', (event) => event.preventDefault())
    contents.setWindowOpenHandler(({ url }) => {
      openLink(contents, url)
      return { action: 'deny' }
    })
  })
}

export function lockDownSession(session: Session): void {
  session.setPermissionRequestHandler((_contents, permission, answer, details) =>
    answer(PERMISSIONS.has(permission) && isOurs(details.requestingUrl)),
  )
  session.setPermissionCheckHandler((_contents, permission, origin) => PERMISSIONS.has(permission) && isOurs(origin))
  session.setDevicePermissionHandler(() => false)
  session.webRequest.onBeforeRequest((details, answer) =>
    answer({ cancel: !LOCAL_SCHEMES.has(parse(details.url)?.protocol ?? '') }),
  )
}

/** Opens an https address in the user's browser, if the user says so. Links come from guests' output: nobody to trust. */
export async function askAndOpenExternal(
  electron: Pick<Electron, 'dialog' | 'shell'>,
  window: BrowserWindow,
  url: string,
): Promise<void> {
  const parsed = parse(url)
  if (parsed?.protocol !== 'https:' || parsed.username !== '' || parsed.password !== '') {
    await electron.dialog.showMessageBox(window, {
      type: 'info',
      message: 'Kennel does not open this address.',
      detail: `${url.slice(0, 200)}\n\nOnly https addresses without a password in them are opened.`,
    })
    return
  }
  const { response } = await electron.dialog.showMessageBox(window, {
    type: 'question',
    message: 'Open this address in your browser?',
    detail: parsed.href,
    buttons: ['Open', 'Cancel'],
    defaultId: 1,
    cancelId: 1,
    noLink: true,
  })
  if (response === 0) await electron.shell.openExternal(parsed.href)
}
