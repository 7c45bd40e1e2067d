/** Amounts of bytes as a person reads them. */
import { number, t } from '../i18n'

/** Memory, in binary units: 2359296 → "2.3 MiB". */
export function bytes(n: number): string {
  if (n >= 2 ** 30) return t('units.gibibytes', { n: number(n / 2 ** 30, 'hundredths') })
  if (n >= 2 ** 20) return t('units.mebibytes', { n: number(n / 2 ** 20, 'tenths') })
  if (n >= 2 ** 10) return t('units.kibibytes', { n: number(n / 2 ** 10, 'whole') })
  return t('units.bytes', { n: number(n, 'short') })
}

/** Bytes a second, in the prefixes of SI: 36000000 → "36.0 MB/s". */
export function byteRate(n: number): string {
  if (n >= 1e9) return t('units.gigabytesPerSecond', { n: number(n / 1e9, 'tenths') })
  if (n >= 1e6) return t('units.megabytesPerSecond', { n: number(n / 1e6, 'tenths') })
  if (n >= 1e4) return t('units.kilobytesPerSecond', { n: number(n / 1e3, 'tenths') })
  return t('units.bytesPerSecond', { n: number(n, 'whole') })
}
