/**
 * Our own mistakes. A guest that breaks the contract is ended with killGuest(); an architectural fault is delivered
 * to the emulated CPU; only a broken invariant of Kennel itself comes here, and it stops the machine.
 */
export class AssertionError extends Error {
  constructor(message: string) {
    super(`Kennel invariant broken: ${message}`)
    this.name = 'AssertionError'
  }
}

/** Throws AssertionError when `condition` is false. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AssertionError(message)
}
