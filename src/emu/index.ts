/** The emulator, for the programs around it. */
export {
  Computer,
  type ComputerOptions,
  type ComputerStatistics,
  DEFAULT_CPUS,
  DEFAULT_HOST_RAM,
  type GuestFile,
  type GuestOptions,
  MAX_HOST_RAM,
  MIN_HOST_RAM,
  type RunningGuest,
} from './computer.ts'
export { type BlockBackend, MemoryDisk } from './launcher/block-backend.ts'
export type { Traffic } from './launcher/traffic.ts'
export type { ConsoleSink } from './launcher/console-port.ts'
export { type UnusableCode, UnusableImageError } from './launcher/errors.ts'
export type { ExitKind, GuestExit } from './launcher/launcher.ts'
export type { SliceOutcome } from './machine/lockstep.ts'
export { MachineCheck } from './machine/machine.ts'
export { HostPanic } from './host/kernel.ts'
