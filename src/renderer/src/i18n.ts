/**
 * The texts of the renderer in the person's language. English lives in locales/en.json and nowhere else; another
 * language is a file with the same keys, named in LANGUAGES, in the settings' schema and in the settings view.
 */
import { createI18n } from 'vue-i18n'
import en from './locales/en.json'

export type Messages = typeof en
type Leaves<T> = { [K in keyof T & string]: T[K] extends string ? K : `${K}.${Leaves<T[K]>}` }[keyof T & string]
/** Every key of en.json: a missing one does not compile. */
export type MessageKey = Leaves<Messages>

/** Numbers with a fixed count of digits after the point, and none in groups: they stand in columns. */
const fixed = (digits: number) => ({
  minimumFractionDigits: digits,
  maximumFractionDigits: digits,
  useGrouping: false,
})
const NUMBERS = {
  whole: fixed(0),
  tenths: fixed(1),
  hundredths: fixed(2),
  millionths: fixed(6),
  /** At most two digits after the point, without zeros at the end. */
  short: { maximumFractionDigits: 2, useGrouping: false },
}

/** Times of the person's day, in the person's time zone; 24 hours, as logs have them. */
const MOMENTS = {
  time: { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' },
  minute: { day: 'numeric', month: 'short', year: 'numeric', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' },
} as const

export const i18n = createI18n<[Messages], 'en', false>({
  legacy: false,
  locale: 'en',
  fallbackLocale: 'en',
  messages: { en },
  numberFormats: { en: NUMBERS },
  datetimeFormats: { en: MOMENTS },
})

/**
 * A text of en.json. `plural` chooses among its forms, which are separated by "|". The global composer: reactive where
 * it is called in a template, a computed or a watcher.
 */
export function t(key: MessageKey, named: Record<string, string | number> = {}, plural?: number): string {
  return plural === undefined ? i18n.global.t(key, named) : i18n.global.t(key, named, plural)
}

/** A number as the language writes it. */
export function number(value: number, format: keyof typeof NUMBERS): string {
  return i18n.global.n(value, format)
}

/** A moment (ms since 1970, or an ISO string) as the language writes it. */
export function moment(at: number | string, format: keyof typeof MOMENTS): string {
  return i18n.global.d(new Date(at), format)
}

/** Follows settings.language. */
export function setLanguage(language: 'en'): void {
  i18n.global.locale.value = language
  document.documentElement.lang = language
}
