/** What a bug report must not say: where the user's things are, what the user is called, and what looks like a secret. */
import { homedir, userInfo } from 'node:os'

/** Words of a kernel's command line whose value is nobody's business. */
const SECRET = /\b([\w.-]*(?:pass|passwd|password|secret|token|key)[\w.-]*)=("[^"]*"|\S+)/gi
/** Shorter names are words of other kinds too. */
const SHORTEST_NAME = 3

export interface Private {
  /** Kennel's folder. */
  readonly kennel: string
  readonly home: string
  readonly user: string
}

/** A report's text without them. Folders are named by what they are: <kennel>, <home>. */
export function redact(text: string, { kennel, home, user }: Private): string {
  let safe = text.replace(SECRET, '$1=<hidden>')
  for (const [folder, name] of [[kennel, '<kennel>'] as const, [home, '<home>'] as const]) {
    if (folder.length > 1) safe = safe.replaceAll(folder, name)
  }
  if (user.length < SHORTEST_NAME) return safe
  // Only as a folder's name: a user may be called "pup".
  const named = user.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
  return safe.replace(new RegExp(`([/\\\\])${named}(?=[/\\\\]|$)`, 'gm'), '$1<user>')
}

/** The same through every text of a value. */
export function redactAll(value: unknown, of: Private): unknown {
  if (typeof value === 'string') return redact(value, of)
  if (Array.isArray(value)) return value.map((each) => redactAll(each, of))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, redactAll(each, of)]))
}

export function privateOf(kennel: string): Private {
  return { kennel, home: homedir(), user: userInfo().username }
}
