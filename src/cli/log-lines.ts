// The last lines of a log, found from its end, and those of several logs in the order of their times. No more of a log than a
// chunk and a line is ever in memory.
import { fstatSync, readSync } from 'node:fs'
import { StringDecoder } from 'node:string_decoder'
import { during, openRegularFile, SystemCallError } from './library.js'

/** A line of a log. */
export interface Line {
  text: string
  /** Time of the line, else of the line before it, in milliseconds since the epoch. */
  time: number
}

/** The end of a log, from the first line that is wanted. */
export interface LogEnd {
  /** Reads the lines; each call begins anew. */
  lines(): Iterable<Line>
  /** Where the lines begin that are written later. */
  end: number
  /** Whether any line has a time. */
  hasTimes: boolean
}

const CHUNK = 64 * 1024
/** The longest line, in bytes; of a longer one at the end of a log the rest is shown. */
export const LONGEST_LINE = 1024 * 1024
/** A log without a time in so much of its end has none, in bytes. */
const TIMELESS = 32 * 1024 * 1024
const NEWLINE = 0x0a
/** An ISO 8601 time at the beginning of a line; brackets or colours may stand before it. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: a terminal's escape sequences begin with one
const TIME = /^(?:\x1b\[[\d;]*m)*[[(]?(\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)/
/** Numbers below this are seconds since the epoch, not milliseconds. */
const SECONDS = 1e11

/**
 * Finds the last `count` lines of an open log or, with `since`, those from that moment on; `fd` is null for a file that
 * doesn't exist yet.
 */
export function logEnd(fd: number | null, count: number, since?: number): LogEnd {
  if (fd === null) return { lines: () => [], end: 0, hasTimes: false }
  const end = fstatSync(fd).size
  if (since === undefined) {
    const start = startOfLast(fd, end, count)
    return { lines: () => linesOf(fd, start, end), end, hasTimes: false }
  }
  const { start, hasTimes } = startSince(fd, end, since)
  return { lines: () => linesOf(fd, start, end, hasTimes ? since : undefined), end, hasTimes }
}

/** Merges the lines of several logs by time. A line without a time stays behind the one before it. */
export function* merged<L extends Line>(logs: readonly Iterable<L>[]): Generator<L> {
  const heads = logs.map(log => {
    const rest = log[Symbol.iterator]()
    return { rest, next: rest.next() }
  })
  for (;;) {
    let first: { rest: Iterator<L>; next: IteratorResult<L> } | undefined
    for (const head of heads) {
      if (!head.next.done && (!first || head.next.value.time < first.next.value.time)) first = head
    }
    if (!first) return
    yield first.next.value
    first.next = first.rest.next()
  }
}

/** Returns a line's time, in milliseconds since the epoch: at its beginning, or as pino and bunyan have it; NaN if it has none. */
export function timeOf(text: string): number {
  if (text.startsWith('{')) return timeOfJson(text)
  const [, time] = TIME.exec(text) ?? []
  return time === undefined ? Number.NaN : Date.parse(time.replace(',', '.').replace(' ', 'T'))
}

function timeOfJson(text: string): number {
  if (!text.includes('"time"')) return Number.NaN
  try {
    const { time } = JSON.parse(text)
    if (typeof time === 'number') return time < SECONDS ? time * 1_000 : time
    return typeof time === 'string' ? Date.parse(time) : Number.NaN
  } catch {
    return Number.NaN
  }
}

/** Finds where the last `count` lines begin. An unfinished last line counts. */
function startOfLast(fd: number, end: number, count: number): number {
  if (count === 0) return end
  let newlines = 0
  let lineEnd = end
  for (const { start, bytes } of chunksBackwards(fd, end)) {
    // The newline at the very end begins no line.
    let at = bytes.lastIndexOf(NEWLINE, start + bytes.length === end ? bytes.length - 2 : bytes.length - 1)
    for (; at >= 0; at = at === 0 ? -1 : bytes.lastIndexOf(NEWLINE, at - 1)) {
      newlines += 1
      lineEnd = start + at
      if (newlines === count) return lineEnd + 1
    }
    if (lineEnd - start >= LONGEST_LINE) return start
  }
  return 0
}

/** Finds a line before which no line is as young as `since`. */
function startSince(fd: number, end: number, since: number): { start: number; hasTimes: boolean } {
  let hasTimes = false
  for (const { start, bytes } of chunksBackwards(fd, end)) {
    const first = start === 0 ? 0 : bytes.indexOf(NEWLINE) + 1
    const lines = first === 0 && start > 0 ? [] : bytes.toString('utf8', first).split('\n')
    const time = lines.map(timeOf).find(each => !Number.isNaN(each))
    hasTimes ||= time !== undefined
    if (time !== undefined && time < since) return { start: start + first, hasTimes }
    if (!hasTimes && end - start >= TIMELESS) break
  }
  return { start: 0, hasTimes }
}

function* chunksBackwards(fd: number, end: number): Generator<{ start: number; bytes: Buffer }> {
  const buffer = Buffer.alloc(CHUNK)
  for (let start = end; start > 0; ) {
    const length = Math.min(CHUNK, start)
    start -= length
    yield { start, bytes: buffer.subarray(0, readSync(fd, buffer, 0, length, start)) }
  }
}

/** Reads the lines from `start` to `end`, those before the moment `since` left out. */
function* linesOf(fd: number, start: number, end: number, since = Number.NEGATIVE_INFINITY): Generator<Line> {
  let time = Number.NEGATIVE_INFINITY
  for (const text of textsOf(fd, start, end)) {
    const own = timeOf(text)
    if (!Number.isNaN(own)) time = own
    if (time >= since) yield { text, time }
  }
}

function* textsOf(fd: number, start: number, end: number): Generator<string> {
  const decoder = new StringDecoder('utf8')
  const buffer = Buffer.alloc(CHUNK)
  let unfinished = ''
  for (let position = start; position < end; ) {
    const length = readSync(fd, buffer, 0, Math.min(CHUNK, end - position), position)
    if (length === 0) break // truncated meanwhile
    position += length
    const texts = (unfinished + decoder.write(buffer.subarray(0, length))).split('\n')
    unfinished = texts.pop() ?? ''
    yield* texts
    if (unfinished.length < LONGEST_LINE) continue
    yield unfinished
    unfinished = ''
  }
  if (unfinished !== '') yield unfinished
}

/** Opens a log for reading; null if it doesn't exist. @throws DaemonError it can't be read, or is no regular file */
export function opened(path: string): number | null {
  try {
    return during('log', path, () => openRegularFile(path))
  } catch (error) {
    if (error instanceof SystemCallError && error.code === 'ENOENT') return null
    throw error
  }
}
