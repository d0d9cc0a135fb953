// Printing, straight to the descriptors: Node's streams take longer to load than a stop takes.
import { fstatSync, writeSync } from 'node:fs'
import { json, visible } from './library.js'

/** The pause before another write to a full non-blocking pipe, in milliseconds. */
const FULL_PIPE_PAUSE = 5

/** Where results, notes and errors go, by --quiet, --json and --verbose. */
export class Output {
  readonly #isQuiet: boolean
  readonly isJson: boolean
  readonly verbosity: number

  constructor({ quiet = false, json = false, verbosity = 0 } = {}) {
    this.#isQuiet = quiet
    this.isJson = json
    this.verbosity = verbosity
  }

  /** Prints a result on stdout: the line, or with --json the object. */
  result(line: string, object: object): void {
    if (this.isJson) write(1, `${json(object)}\n`)
    else if (!this.#isQuiet) writeLine(1, line)
  }

  /** Prints a line on stderr that is no error; --quiet leaves it out. */
  note(line: string): void {
    if (!this.#isQuiet) writeLine(2, line)
  }

  /** Prints an error on stderr. */
  error(line: string): void {
    writeLine(2, line)
  }
}

/** Whether the reader of stdout has closed its pipe. */
let isReaderGone = false

/**
 * Writes the whole text, however full the pipe is. If the reader of stdout has closed its pipe (`| head`), printing
 * stops without an error, and the work goes on.
 */
export function write(fd: 1 | 2, text: string): void {
  if (fd === 1 && isReaderGone) return
  for (let rest = Buffer.from(text); rest.length > 0; ) {
    try {
      rest = rest.subarray(writeSync(fd, rest))
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'EPIPE' && fd === 1) isReaderGone = true
      if (code !== 'EAGAIN') return // there is nowhere left to report it
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, FULL_PIPE_PAUSE)
    }
  }
}

/** Writes a line, which may hold what a daemon said: a terminal gets nothing of that but text and colours. */
export function writeLine(fd: 1 | 2, line: string): void {
  write(fd, `${isTerminal(fd) ? visible(line) : line}\n`)
}

/** Writes to stdout, and exits with 0 if its reader has closed the pipe: for verbs that do nothing but print. */
export function writeOrEnd(text: string): void {
  write(1, text)
  if (isReaderGone) process.exit(0)
}

/** Tells whether `fd` is a terminal. node:tty takes long to load, so it is asked only about character devices. */
export function isTerminal(fd: number): boolean {
  try {
    return fstatSync(fd).isCharacterDevice() && process.getBuiltinModule('node:tty').isatty(fd)
  } catch {
    return false // closed
  }
}

/** Tells whether to print colours on `fd`. NO_COLOR and FORCE_COLOR decide (no-color.org, force-color.org), then the terminal. */
export function hasColors(fd: number): boolean {
  const { NO_COLOR, FORCE_COLOR, TERM } = process.env
  if (FORCE_COLOR) return FORCE_COLOR !== '0' && FORCE_COLOR !== 'false'
  if (NO_COLOR) return false
  return TERM !== 'dumb' && isTerminal(fd)
}

/** Returns the width of the terminal in columns; Infinity where `fd` is none. */
export function columns(fd: number): number {
  if (!isTerminal(fd)) return Number.POSITIVE_INFINITY
  const { columns = 80 } = fd === 1 ? process.stdout : process.stderr
  return columns || 80
}
