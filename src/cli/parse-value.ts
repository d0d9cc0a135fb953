// Texts of the command line, read as what they stand for.
import { constants } from 'node:os'
import { list, show, sizeIn, suggestion, timeIn } from './library.js'
import type { OptionDefinition } from './option-table.js'
import { UsageError } from './usage.js'

/** NAME=VALUE, as --env takes it. */
export interface Assignment {
  name: string
  /** Absent for NAME alone, which removes the variable. */
  value?: string
}

const DAY = 24 * 3_600_000

/** Reads the value of an option, by its kind. @throws UsageError */
export function read(option: OptionDefinition, text: string): unknown {
  const wrong = (what: string, words: readonly string[] = []) => unexpected(`--${option.name}`, what, text, words)
  if (text.includes('\0')) throw wrong('a text without NUL')
  switch (option.kind) {
    case 'duration':
      return timeIn(text) ?? fail(wrong('a time as 500ms, 30s or 5m'))
    case 'since':
      return since(text) ?? fail(wrong('a time as 30s, 10m, 2h or 1d, or an ISO 8601 time'))
    case 'size':
      return sizeIn(text) ?? fail(wrong('a size as 512M: bytes, K, M or G'))
    case 'octal':
      return /^0?o?[0-7]{1,4}$/.test(text) ? Number.parseInt(text.replace('o', ''), 8) : fail(wrong('octal, as 027'))
    case 'integer':
      return integer(text) ?? fail(wrong('a whole number'))
    case 'descriptor':
      return /^\d+$/.test(text) ? Number(text) : fail(wrong('the number of an open descriptor'))
    case 'workers':
      return text === 'cpus' ? text : (integer(text) ?? fail(wrong('a number or cpus', ['cpus'])))
    case 'signal':
      return signalNamed(text, `--${option.name}`)
    case 'assignment':
      return assignment(text) ?? fail(wrong('NAME=VALUE, or NAME to remove it'))
    case 'limit':
      return limit(text) ?? fail(wrong('NAME=N or NAME=SOFT:HARD, as nofile=65536'))
    case 'listen':
      return listen(text)
    case 'list':
      return text.split(',').includes('') ? fail(wrong('names or ids, as A,B')) : text.split(',').map(account)
    case 'account':
      return text === '' ? fail(wrong('a name or an id')) : account(text)
    case 'stream':
      return /^\d+$/.test(text) ? Number(text) : text
    case 'ready':
      return /^(auto|loaded|manual|port|fd=\d+)$/.test(text)
        ? text
        : fail(wrong('auto, loaded, manual, port or fd=N', ['auto', 'loaded', 'manual', 'port']))
    case 'choice': {
      const { choices = [] } = option
      return choices.includes(text) ? text : fail(wrong(list(choices), choices))
    }
    default:
      return text === '' ? fail(wrong('a text')) : text
  }
}

/** Reads the name or the number of a signal; `what` names the argument in the message. @throws UsageError */
export function signalNamed(text: string, what: string): NodeJS.Signals {
  const byNumber = Object.entries(constants.signals).find(([, each]) => String(each) === text)
  const name = byNumber?.[0] ?? `SIG${text.toUpperCase().replace(/^SIG/, '')}`
  if (!(name in constants.signals)) {
    throw unexpected(what, 'a signal, as HUP, SIGHUP or 1', text.toUpperCase(), Object.keys(constants.signals))
  }
  return name as NodeJS.Signals
}

/** Reads a number of workers, or by how many to change it: `4`, `+1`, `-1`. @throws UsageError */
export function scaleOf(text: string): string {
  if (/^[+-]?\d{1,4}$/.test(text)) return text
  throw unexpected('the number of workers', 'N, +N or -N', text)
}

/** Makes the error for a wrong value on the line; `words` are suggested if one of them is near. */
export function unexpected(what: string, wanted: string, got: string, words: readonly string[] = []): UsageError {
  return new UsageError(`Expected ${what} to be ${wanted}, got ${show(got)}${suggestion(got, words)}`)
}

/** Reads how long ago, or an ISO 8601 time; gives milliseconds since the epoch. */
function since(text: string): number | undefined {
  const [, days] = /^(\d+(?:\.\d+)?)d$/.exec(text) ?? []
  const ago = days === undefined ? timeIn(text) : Number(days) * DAY
  if (ago !== undefined) return Date.now() - ago
  const time = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : Number.NaN
  return Number.isNaN(time) ? undefined : time
}

function integer(text: string): number | undefined {
  return /^[+-]?\d{1,15}$/.test(text) ? Number(text) : undefined
}

function account(text: string): string | number {
  return /^\d+$/.test(text) ? Number(text) : text
}

function assignment(text: string): Assignment | undefined {
  const [, name, value] = /^([^=]+)(?:=(.*))?$/s.exec(text) ?? []
  return name === undefined ? undefined : { name, ...(value !== undefined && { value }) }
}

/** Splits NAME=ADDRESS. The address may be a path with `=` in it: what stands before is a name only if it looks like one. */
function listen(text: string): { name?: string; address: string } {
  const [, name, address] = /^([A-Za-z0-9._-]+)=(.*)$/s.exec(text) ?? []
  return name === undefined || address === undefined ? { address: text } : { name, address }
}

function limit(text: string): { name: string; limit: unknown } | undefined {
  const [, name, first, second] = /^([a-z]+)=(\d+|unlimited)(?::(\d+|unlimited))?$/.exec(text) ?? []
  if (name === undefined || first === undefined) return undefined
  const value = (word: string) => (word === 'unlimited' ? word : Number(word))
  return { name, limit: second === undefined ? value(first) : { soft: value(first), hard: value(second) } }
}

function fail(error: UsageError): never {
  throw error
}
