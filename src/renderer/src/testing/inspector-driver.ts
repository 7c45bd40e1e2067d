/** Drives the inspector's view in a mount test: opens it over a fake engine with a guest, and does what a person does. */
import { flushPromises, type VueWrapper } from '@vue/test-utils'
import type { MemoryChunk, PageWalk } from '@shared/inspect'
import { toBase64 } from '../services/files'
import InspectorView from '../views/InspectorView.vue'
import { FakeEngine, type Answers } from './fake-engine'
import { byId, mountView } from './mount-view'
import { CODE, IDLE, IN_GUEST, PUP, SWITCHES, TABLES } from './samples'

const WALK: PageWalk = {
  address: 0x08048123,
  shadow: {
    cr3: 0x01a3f000,
    steps: [
      { level: 'PGD', entryAddress: 0x01a3f080, index: 32, value: 0x01b00067, flags: 'P RW US A D' },
      { level: 'PTE', entryAddress: 0x01b00120, index: 72, value: 0, flags: 'not present' },
    ],
    result: null,
    note: 'The page table entry is not present.',
  },
  guest: {
    cr3: 0x00102000,
    steps: [
      { level: 'PGD', entryAddress: 0x00102080, index: 32, value: 0x00203007, flags: 'P RW US' },
      { level: 'PTE', entryAddress: 0x00203120, index: 72, value: 0x00345005, flags: 'P US' },
    ],
    result: 0x00345123,
    note: '',
  },
}

/** Bytes that count up from the address; everything from 0x2000 is not there. */
export function memory(address: number, length: number): MemoryChunk {
  const bytes = Uint8Array.from({ length }, (_, i) => (address + i) & 0xff)
  const pages = Math.floor((address + length - 1) / 4096) - Math.floor(address / 4096) + 1
  const mapped = Array.from({ length: pages }, (_, i) => Math.floor(address / 4096) + i < 2 || address > 0xc0000000)
  return { address, bytes: toBase64(bytes), mapped }
}

export let fake: FakeEngine
export let view: VueWrapper

export const click = async (id: string): Promise<void> => {
  await byId(view, id).trigger('click')
  await flushPromises()
}
export const type = async (id: string, text: string): Promise<void> => {
  await byId(view, id).setValue(text)
}
export const submit = async (id: string): Promise<void> => {
  await byId(view, id).trigger('submit')
  await flushPromises()
}
/** Mounts the view at a path; what the engine answers can be changed. */
export async function open(answers: Answers = {}, path = '/inspector/0'): Promise<void> {
  fake = new FakeEngine({
    'guests.list': () => ({ guests: [PUP], quarantined: [] }),
    'inspect.cpu': ({ cpu }) => (cpu === 0 ? IN_GUEST : IDLE),
    'inspect.tables': () => TABLES,
    'inspect.disassemble': () => CODE,
    'inspect.memory': ({ address, length }) => memory(address, length),
    'inspect.walk': () => WALK,
    'inspect.symbol': ({ name }) => ({ address: name === 'schedule' ? 0xc0100123 : null }),
    'inspect.timeline': ({ since }) => ({
      next: SWITCHES.length,
      dropped: 0,
      events: SWITCHES.slice(since),
    }),
    'debug.addBreakpoint': ({ spec }) => ({ id: 7, enabled: true, hits: 0, spec }),
    'debug.setBreakpoint': ({ breakpointId, enabled }) => ({
      id: breakpointId,
      enabled,
      hits: 2,
      spec: { kind: 'trap', trap: 14, scope: {} },
    }),
    'debug.removeBreakpoint': () => null,
    ...answers,
  })
  view = await mountView(InspectorView, fake, path)
}
