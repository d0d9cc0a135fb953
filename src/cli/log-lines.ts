// The last lines of a log, read from its end, and those of several logs in the order of their times.
import { fstatSync, readSync } from 'node:fs'
import { during, openRegularFile, SystemCallError } from './library.js'

/** A line of a log. */
export interface Line {
  text: string
  /** The time that the line begins with, else that of the line before it; milliseconds since the epoch. */
  time: number
}

const CHUNK = 64 * 1024
/** How much of a log's end is read, in bytes and in lines: whatever a daemon writes, a look at its log ends. */
const MOST_BYTES = 32 * 1024 * 1024
const MOST_LINES = 500_000
/** The longest line, in bytes; of a longer one at the end of a log the rest is shown. */
export const LONGEST_LINE = 1024 * 1024
const NEWLINE = 0x0a
/** An ISO 8601 time at the beginning of a line; brackets or colours may stand before it. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: a terminal's escape sequences begin with one
const TIME = /^(?:\x1b\[[\d;]*m)*[[(]?(\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)/

/**
 * Reads the last `count` lines of an open log, those before the moment `since` left out. `end` is where the next lines
 * will begin; `fd` is null for a file that doesn't exist yet.
 */
export function lastLines(
  fd: number | null,
  count: number,
  since?: number,
): { lines: Line[]; end: number; hasTimes: boolean } {
  if (fd === null) return { lines: [], end: 0, hasTimes: false }
  const size = fstatSync(fd).size
  const lines = withTimes(tail(fd, size, count, since))
  const hasTimes = lines.some(({ time }) => Number.isFinite(time))
  const wanted = since === undefined || !hasTimes ? lines : lines.filter(({ time }) => time >= since)
  return { lines: count === 0 ? [] : wanted.slice(-count), end: size, hasTimes }
}

/** Merges the lines of several files by time. A line without a time stays behind the one before it. */
export function merged<L extends Line>(files: readonly (readonly L[])[]): L[] {
  return files.flat().toSorted((a, b) => (a.time === b.time ? 0 : a.time - b.time))
}

/** Returns the time that a line begins with, in milliseconds since the epoch; NaN if it begins with none. */
export function timeOf(text: string): number {
  const [, time] = TIME.exec(text) ?? []
  return time === undefined ? Number.NaN : Date.parse(time.replace(',', '.').replace(' ', 'T'))
}

/** Reads whole lines from the end of a file, not many more than are wanted. An unfinished last line counts. */
function tail(fd: number, size: number, count: number, since: number | undefined): string {
  const chunks: Buffer[] = []
  let start = size
  let newlines = 0
  let lineStart = size
  const isBounded = () => size - start >= MOST_BYTES || newlines >= MOST_LINES || lineStart - start >= LONGEST_LINE
  while (start > 0 && !isBounded()) {
    const length = Math.min(CHUNK, start)
    start -= length
    const chunk = Buffer.alloc(length)
    readSync(fd, chunk, 0, length, start)
    chunks.unshift(chunk)
    const first = chunk.indexOf(NEWLINE)
    if (first >= 0) lineStart = start + first
    for (let at = first; at >= 0; at = chunk.indexOf(NEWLINE, at + 1)) newlines += 1
    if (newlines > count || (since !== undefined && beginsBefore(chunk, since))) break
  }
  const all = Buffer.concat(chunks)
  const from = start === 0 ? 0 : all.indexOf(NEWLINE) + 1
  return all.subarray(from).toString('utf8')
}

/** Tells whether the first line with a time is older than `since`: then no line before it is wanted. */
function beginsBefore(chunk: Buffer, since: number): boolean {
  for (const line of chunk.toString('utf8').split('\n').slice(1)) {
    const time = timeOf(line)
    if (!Number.isNaN(time)) return time < since
  }
  return false
}

function withTimes(text: string): Line[] {
  const lines = text.split('\n')
  if (lines.at(-1) === '') lines.pop()
  let last = Number.NEGATIVE_INFINITY
  return lines.map(line => {
    const time = timeOf(line)
    if (!Number.isNaN(time)) last = time
    return { text: line, time: last }
  })
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
