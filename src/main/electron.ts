/** Electron's main-process modules as a type. Each part of the shell takes only the ones it uses, so that tests can hand it others. */
import type * as electron from 'electron'

export type Electron = typeof electron
