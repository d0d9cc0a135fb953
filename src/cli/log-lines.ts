// The last lines of a log, read from its end; and of several logs in the order of their times.
import { fstatSync, openSync, readSync } from 'node:fs'
import { during, SystemCallError } from '../errors/classes.js'

export interface Line {
  text: string
  /** When it was written, if it says so, or the last one before it that does; milliseconds since the epoch. */
  time: number
}

const CHUNK = 64 * 1024
const NEWLINE = 0x0a
/** ISO 8601, in brackets or behind colours too. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: a terminal's escape sequences begin with one
const TIME = /^(?:\x1b\[[\d;]*m)*[[(]?(\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)/

/** `end` is where the next ones will begin. A file that isn't there has no lines yet. */
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

/** By time; what has none stays behind what stands before it in its file. */
export function merged<L extends Line>(files: readonly (readonly L[])[]): L[] {
  return files.flat().toSorted((a, b) => (a.time === b.time ? 0 : a.time - b.time))
}

export function timeOf(text: string): number {
  const [, time] = TIME.exec(text) ?? []
  return time === undefined ? Number.NaN : Date.parse(time.replace(',', '.').replace(' ', 'T'))
}

/** Whole lines from the end, and not many more than are wanted. The last one may be unfinished: it counts. */
function tail(fd: number, size: number, count: number, since: number | undefined): string {
  const chunks: Buffer[] = []
  let start = size
  let newlines = 0
  while (start > 0) {
    const length = Math.min(CHUNK, start)
    start -= length
    const chunk = Buffer.alloc(length)
    readSync(fd, chunk, 0, length, start)
    chunks.unshift(chunk)
    for (let at = chunk.indexOf(NEWLINE); at >= 0; at = chunk.indexOf(NEWLINE, at + 1)) newlines += 1
    if (newlines > count || (since !== undefined && beginsBefore(chunk, since))) break
  }
  const all = Buffer.concat(chunks)
  const from = start === 0 ? 0 : all.indexOf(NEWLINE) + 1
  return all.subarray(from).toString('utf8')
}

/** Whether the first line with a time in it is older: then nothing before it is wanted. */
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

/** Null if it isn't there. @throws SystemCallError */
export function opened(path: string): number | null {
  try {
    return during('log', path, () => openSync(path, 'r'))
  } catch (error) {
    if (error instanceof SystemCallError && error.code === 'ENOENT') return null
    throw error
  }
}
