// Kinds of option values: which are accepted, and the message that names the option, what it expects, and what it got.
import { OptionError } from '../errors/classes.js'

/** The longest time that setTimeout() takes, in milliseconds: 24.8 days. */
const LONGEST = 2 ** 31 - 1

/** Returns the value, or the default if it is undefined. null counts as given. */
export function or<T, D>(value: T | undefined, otherwise: D): T | D {
  return value === undefined ? otherwise : value
}

/** Lists the entries of an object, those that are undefined left out unless they are to be kept. @throws OptionError */
export function entries(option: string, value: unknown, keepUndefined = false): [string, unknown][] {
  if (value === undefined) return []
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw expected(option, 'an object', value)
  return Object.entries(value).filter(([, each]) => keepUndefined || each !== undefined)
}

/** Tells whether a daemon may be called so. */
export function isName(value: unknown): value is string {
  return typeof value === 'string' && /^[A-Za-z0-9._-]{1,64}$/.test(value) && !/^\.+$/.test(value)
}

/** Accepts a string that is neither empty nor holds a NUL; `what` names it in the message. @throws OptionError */
export function text(option: string, value: unknown, what: string): string {
  if (typeof value !== 'string' || value === '' || value.includes('\0')) throw expected(option, what, value)
  return value
}

/** Accepts the mode of a file. A string that looks octal is refused with the number to write instead. @throws OptionError */
export function mode(option: string, value: unknown, highest: number): number {
  const range = `a number from 0 to 0o${highest.toString(8)}`
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > highest) {
    const octal =
      typeof value === 'string' && /^0?o?[0-7]+$/.test(value) ? `: write 0o${value.replace(/^0?o?/, '')}` : ''
    throw new OptionError(option, `Expected the \`${option}\` option to be ${range}, got ${show(value)}${octal}`)
  }
  return value
}

/** Milliseconds of the units of time. */
const TIMES = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 } as const
/** Bytes of the units of size. */
const SIZES = { '': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30 } as const

/** Reads a time with its unit, as `500ms`, `30s`, `5m` or `1h`, in milliseconds; undefined if it is none. */
export function timeIn(text: string): number | undefined {
  return amount(text, /^(\d+(?:\.\d+)?)(ms|s|m|h)$/, TIMES)
}

/** Reads a size, as `512M`, in bytes; undefined if it is none. */
export function sizeIn(text: string): number | undefined {
  return amount(text, /^(\d+(?:\.\d+)?)([KMG]?)i?B?$/i, SIZES)
}

function amount(text: string, pattern: RegExp, units: Readonly<Record<string, number>>): number | undefined {
  const [, digits, unit = ''] = pattern.exec(text) ?? []
  const factor = units[unit] ?? units[unit.toUpperCase()]
  return digits === undefined || factor === undefined ? undefined : Math.round(Number(digits) * factor)
}

/** Accepts a time in milliseconds, or with its unit. @throws OptionError */
export function duration(option: string, value: unknown): number {
  const time = typeof value === 'string' ? timeIn(value) : value
  if (typeof time !== 'number' || !(time > 0) || time > LONGEST) {
    throw expected(
      option,
      "a number of milliseconds above 0 (at most 2**31 - 1), or a time as '500ms', '30s' or '5m'",
      value,
    )
  }
  return time
}

/** Accepts a number of bytes, or a size with its unit. @throws OptionError */
export function size(option: string, value: unknown): number {
  const bytes = typeof value === 'string' ? sizeIn(value) : value
  if (typeof bytes !== 'number' || !Number.isInteger(bytes) || bytes < 1 || bytes > Number.MAX_SAFE_INTEGER) {
    throw expected(option, "a whole number of bytes from 1, or a size as '512M'", value)
  }
  return bytes
}

/** Accepts a whole number; `or` names in the message what else is accepted. @throws OptionError */
export function whole(option: string, value: unknown, lowest: number, highest: number, or = ''): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < lowest || value > highest) {
    throw expected(option, `a whole number from ${lowest} to ${highest} ${or}`.trimEnd(), value)
  }
  return value
}

/** Accepts one of the allowed values. @throws OptionError */
export function oneOf<const T>(option: string, value: unknown, allowed: readonly T[]): T {
  if (!(allowed as readonly unknown[]).includes(value)) throw expected(option, list(allowed), value, allowed)
  return value as T
}

/** Refuses keys that `parent` doesn't have, and names the nearest one that it has. @throws OptionError */
export function refuseUnknown(parent: string, keys: readonly string[], known: readonly string[]): void {
  for (const key of keys) {
    if (known.includes(key)) continue
    const option = parent ? `${parent}.${key}` : key
    throw new OptionError(
      option,
      `Unknown option \`${option}\`${suggestion(key, known) || `; there are ${list(known)}`}`,
    )
  }
}

/** Makes the error for a wrong value; `words` are suggested if one of them is near. */
export function expected(option: string, what: string, got: unknown, words: readonly unknown[] = []): OptionError {
  const nearest =
    typeof got === 'string'
      ? suggestion(
          got,
          words.filter(word => typeof word === 'string'),
        )
      : ''
  return new OptionError(option, `Expected the \`${option}\` option to be ${what}, got ${show(got)}${nearest}`)
}

/** Suggests a known word that is spelled much like this one: `; did you mean 'X'?`; '' if none is. */
export function suggestion(word: string, known: readonly string[]): string {
  const near = known.map(each => ({ each, far: distance(word.toLowerCase(), each.toLowerCase()) }))
  const best = near.sort((a, b) => a.far - b.far)[0]
  return best && best.far <= Math.max(1, Math.floor(word.length / 3)) ? `; did you mean \`${best.each}\`?` : ''
}

/** Counts the letters to change, add, drop, or swap with their neighbour: optimal string alignment. */
function distance(one: string, other: string): number {
  const rows: number[][] = []
  const at = (i: number, j: number) => rows[i]?.[j] ?? Math.max(i, j)
  for (let i = 0; i <= one.length; i++) {
    const row: number[] = []
    rows.push(row)
    for (let j = 0; j <= other.length; j++) {
      if (i === 0 || j === 0) {
        row.push(i + j)
        continue
      }
      const same = one[i - 1] === other[j - 1]
      const swapped = i > 1 && j > 1 && one[i - 1] === other[j - 2] && one[i - 2] === other[j - 1]
      const changes = [at(i - 1, j - 1) + (same ? 0 : 1), at(i - 1, j) + 1, at(i, j - 1) + 1]
      row.push(Math.min(...changes, swapped ? at(i - 2, j - 2) + 1 : Infinity))
    }
  }
  return at(one.length, other.length)
}

/** Lists values for a message: `'a', 'b' or 'c'`. */
export function list(words: readonly unknown[]): string {
  const shown = words.map(show)
  return shown.length < 2 ? shown.join('') : `${shown.slice(0, -1).join(', ')} or ${shown.at(-1)}`
}

/** Shows a value in a message: a string in quotes, an object by its kind. */
export function show(value: unknown): string {
  if (typeof value === 'string') return `'${value.length > 80 ? `${value.slice(0, 80)}…` : value}'`
  if (typeof value === 'function') return 'a function'
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? 'an array' : 'an object'
  return String(value)
}
