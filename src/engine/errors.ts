/** EngineError: a request failed in a way a person can understand. It crosses the protocol as plain data. */
import type { ProtocolError } from '../shared/protocol.ts'

export class EngineError extends Error {
  readonly code: ProtocolError['code']

  constructor(code: ProtocolError['code'], message: string) {
    super(message)
    this.name = 'EngineError'
    this.code = code
  }
}

/** What a front is told about any thrown value. Faults of our own keep their message, named as such. */
export function toProtocolError(error: unknown): ProtocolError {
  if (error instanceof EngineError) return { code: error.code, message: error.message }
  if (isSystemError(error)) return { code: 'io', message: describeSystemError(error) }
  return {
    code: 'internal',
    message: `Kennel made a mistake: ${error instanceof Error ? error.message : String(error)}`,
  }
}

interface SystemError {
  code: string
  path?: string
  message: string
}

function isSystemError(error: unknown): error is SystemError {
  return error instanceof Error && typeof (error as { code?: unknown }).code === 'string' && 'syscall' in error
}

const SENTENCES: Record<string, string> = {
  ENOENT: 'does not exist',
  EACCES: 'may not be read or written by you',
  EPERM: 'may not be changed by you',
  ENOSPC: 'cannot be written: the disk is full',
  EISDIR: 'is a folder, not a file',
  EROFS: 'is on a read-only disk',
  EMFILE: 'cannot be opened: too many files are open',
}

function describeSystemError(error: SystemError): string {
  const sentence = SENTENCES[error.code]
  if (sentence && error.path) return `${error.path} ${sentence}.`
  // An error of writing names no file.
  return error.code === 'ENOSPC' ? 'The disk is full.' : error.message
}
