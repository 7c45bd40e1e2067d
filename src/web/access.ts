/**
 * Who may talk to the web front: pages it served itself (Host and Origin are its own, which also stops DNS rebinding),
 * that know the token of this run. The token travels in the URL's fragment, which browsers do not send.
 */
import { randomBytes, timingSafeEqual } from 'node:crypto'

export function newToken(): string {
  return randomBytes(24).toString('base64url')
}

/** Compares in constant time. */
export function tokenMatches(expected: string, given: unknown): boolean {
  if (typeof given !== 'string') return false
  const a = Buffer.from(expected)
  const b = Buffer.from(given)
  return a.length === b.length && timingSafeEqual(a, b)
}

export function hostAllowed(host: string | undefined, port: number): boolean {
  return host === `127.0.0.1:${port}` || host === `localhost:${port}`
}

/** Requests without an Origin do not come from a page; WebSocket connections must have one (`required`). */
export function originAllowed(origin: string | undefined, port: number, required: boolean): boolean {
  if (origin === undefined) return !required
  return origin === `http://127.0.0.1:${port}` || origin === `http://localhost:${port}`
}
