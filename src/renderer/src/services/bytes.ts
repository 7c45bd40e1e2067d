/** Amounts of memory as a person reads them: 2359296 → "2.3 MiB". */
export function bytes(n: number): string {
  if (n >= 2 ** 30) return t('units.gibibytes', { n: number(n / 2 ** 30, 'hundredths') })
  if (n >= 2 ** 20) return t('units.mebibytes', { n: number(n / 2 ** 20, 'tenths') })
  if (n >= 2 ** 10) return t('units.kibibytes', { n: number(n / 2 ** 10, 'whole') })
  return t('units.bytes', { n: number(n, 'short') })
}
import { number, t } from '../i18n'
