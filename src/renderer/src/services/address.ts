/** What a person types for an address: hex, a symbol's name, or a name with an offset ("schedule+0x12"). */
import { t } from '../i18n'
import type { EngineClient } from './client'
import { parseAddress } from './format'

export type ResolvedAddress = { address: number } | { problem: string }

/** Hex wins over names: a symbol called "add" is reached as "add+0". */
export async function resolveAddress(
  engine: EngineClient,
  text: string,
  guestId: string | null,
): Promise<ResolvedAddress> {
  const wanted = text.trim()
  if (wanted === '') return { problem: t('addressInput.empty') }
  const address = parseAddress(wanted)
  if (address !== null) return { address }
  if (/^(0x)?[0-9a-f]{9,}$/i.test(wanted)) return { problem: t('addressInput.tooLong') }
  const parts = /^([A-Za-z_.$][\w.$]*)(?:\+(?:0x)?([0-9a-f]{1,8}))?$/i.exec(wanted)
  if (!parts) return { problem: t('addressInput.neither', { text: wanted }) }
  if (guestId === null) return { problem: t('addressInput.needsGuest') }
  try {
    const found = await engine.request('inspect.symbol', { guestId, name: parts[1] })
    if (found.address === null) return { problem: t('addressInput.noSymbol', { name: parts[1] }) }
    return { address: (found.address + Number.parseInt(parts[2] ?? '0', 16)) >>> 0 }
  } catch (error) {
    return { problem: error instanceof Error ? error.message : String(error) }
  }
}
