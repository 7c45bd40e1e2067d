/** The session of the fake Electron (fake-electron.ts): keeps the handlers it was given, and asks them. */
type RequestHandler = (
  contents: unknown,
  permission: string,
  answer: (granted: boolean) => void,
  details: { requestingUrl: string },
) => void
type CheckHandler = (contents: unknown, permission: string, origin: string) => boolean
type BeforeRequest = (details: { url: string }, answer: (response: { cancel?: boolean }) => void) => void

export class FakeSession {
  private requestHandler: RequestHandler | null = null
  private checkHandler: CheckHandler | null = null
  private deviceHandler: (() => boolean) | null = null
  private beforeRequest: BeforeRequest | null = null
  readonly webRequest = { onBeforeRequest: (listener: BeforeRequest) => (this.beforeRequest = listener) }

  setPermissionRequestHandler(handler: RequestHandler): void {
    this.requestHandler = handler
  }
  setPermissionCheckHandler(handler: CheckHandler): void {
    this.checkHandler = handler
  }
  setDevicePermissionHandler(handler: () => boolean): void {
    this.deviceHandler = handler
  }

  /** Whether a page gets a permission it asks for. As in Electron, it does when nobody says no. */
  grants(permission: string, url: string): boolean {
    let granted = true
    this.requestHandler?.(null, permission, (answer) => (granted = answer), { requestingUrl: url })
    return granted
  }
  /** Whether a page that looks has a permission. */
  has(permission: string, origin: string): boolean {
    return this.checkHandler?.(null, permission, origin) ?? true
  }
  givesDevice(): boolean {
    return this.deviceHandler?.() ?? true
  }
  /** Whether a page may load something from an address. */
  loads(url: string): boolean {
    let cancelled = false
    this.beforeRequest?.({ url }, ({ cancel }) => (cancelled = cancel ?? false))
    return !cancelled
  }
}
