/** A real engine in a folder of its own, with a front, and real pups in it. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Guest } from '../../emu/lguest/guest.ts'
import { duplexPair } from '../../shared/duplex.ts'
import type { StopReason } from '../../shared/inspect.ts'
import type { Settings } from '../../shared/protocol.ts'
import { Engine } from '../engine.ts'
import { type TestConsole, TestFront } from './test-front.ts'

export interface TestPup {
  readonly guestId: string
  readonly console: TestConsole
  /** Guest-virtual address of a symbol of pup's kernel. */
  address(symbol: string): number
  /** The hypervisor's Guest. */
  readonly lguest: Guest
}

export class TestEngine {
  readonly home: string
  readonly engine: Engine
  readonly front: TestFront

  private constructor(home: string, engine: Engine) {
    this.home = home
    this.engine = engine
    this.front = this.connect()
  }

  static async start(settings: Partial<Settings> = {}): Promise<TestEngine> {
    const home = await mkdtemp(join(tmpdir(), 'kennel-test-'))
    await mkdir(home, { recursive: true })
    await writeFile(join(home, 'settings.json'), JSON.stringify(settings))
    return new TestEngine(home, await Engine.start({ home, version: '0.0.0-test' }))
  }

  async dispose(): Promise<void> {
    await this.engine.shutdown()
    await rm(this.home, { recursive: true, force: true })
  }

  connect(): TestFront {
    const [ours, theirs] = duplexPair()
    this.engine.connect(theirs)
    return new TestFront(ours)
  }

  /** A pup that waits at its prompt. */
  async pup(name = 'pup'): Promise<TestPup> {
    const { guestId } = await this.front.request('guests.create', {
      config: { name, kind: 'pup', memory: 16 },
      start: true,
    })
    const console = await this.front.openConsole(guestId)
    await console.until('$ ')
    const { engine } = this
    return {
      guestId,
      console,
      address: (symbol) => {
        const found = engine.guests.get(guestId).symbols?.addressOf(symbol) ?? null
        if (found === null) throw new Error(`pup has no ${symbol}`)
        return found
      },
      get lguest() {
        const guest = engine.host.guest(guestId)
        if (guest === null) throw new Error(`${name} does not run`)
        return guest
      },
    }
  }

  /** Waits until the host stands still; why it does. */
  async stopped(): Promise<StopReason> {
    for (;;) {
      const { stop } = this.engine.host.info()
      if (stop !== null) return stop
      await new Promise((resolve) => setImmediate(resolve))
    }
  }

  /** Waits until the host has had nothing to do for a while: no guest has anything left to say. */
  async quiet(): Promise<void> {
    let before = -1
    for (;;) {
      const retired = this.engine.host.machine.cpus.reduce((sum, cpu) => sum + cpu.retired, 0)
      if (retired === before) return
      before = retired
      await new Promise((resolve) => setTimeout(resolve, 30))
    }
  }
}
