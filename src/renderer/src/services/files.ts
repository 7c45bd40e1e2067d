/** Files between the person and the engine: picking, dropping, saving. Contents travel as base64 in the protocol. */

/** Bytes as base64, in pieces small enough for any browser. */
export function toBase64(bytes: Uint8Array): string {
  let text = ''
  for (let at = 0; at < bytes.length; at += 0x8000) text += String.fromCharCode(...bytes.subarray(at, at + 0x8000))
  return btoa(text)
}

export function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  const raw = atob(text)
  const bytes = new Uint8Array(raw.length)
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i)
  return bytes
}

/** Offers base64 contents as a download (in Electron the download goes to a save dialog). */
export function saveFile(name: string, base64: string): void {
  saveBytes(name, fromBase64(base64))
}

export function saveBytes(name: string, bytes: Uint8Array<ArrayBuffer>): void {
  const url = URL.createObjectURL(new Blob([bytes]))
  const anchor = document.createElement('a')
  anchor.href = url
  anchor.download = name
  anchor.click()
  setTimeout(() => URL.revokeObjectURL(url), 10_000)
}

export async function readFile(file: File): Promise<{ name: string; data: string }> {
  return { name: file.name, data: toBase64(new Uint8Array(await file.arrayBuffer())) }
}
