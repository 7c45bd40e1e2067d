/** What reader and writer of zip files share: signatures and lengths of the fixed parts (APPNOTE.TXT 6.3, 4.3.7, 4.3.12, 4.3.16). */
export const HEAD = { signature: 0x04034b50, size: 30 } as const
export const DIRECTORY_RECORD = { signature: 0x02014b50, size: 46 } as const
export const END_RECORD = { signature: 0x06054b50, size: 22 } as const
export const METHOD_STORE = 0
export const METHOD_DEFLATE = 8
/** General purpose flags. */
export const ENCRYPTED = 1
export const UTF8_NAMES = 0x800
/** Version 2.0: deflate, no Zip64. */
export const VERSION = 20
/** Zip64 begins behind it. */
export const LARGEST = 0xfffffffe
