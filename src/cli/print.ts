// What the command prints. Written straight to the descriptors: Node's streams take longer to load than a stop takes.
import { fstatSync, writeSync } from 'node:fs'

/** How long to wait for a reader that is slower than we are, where it made the pipe non-blocking; milliseconds. */
const FULL_PIPE = 5

export class Output {
  readonly #isQuiet: boolean
  readonly isJson: boolean
  readonly verbosity: number

  constructor({ quiet = false, json = false, verbosity = 0 } = {}) {
    this.#isQuiet = quiet
    this.isJson = json
    this.verbosity = verbosity
  }

  /** A result: the line, or with --json the object. */
  result(line: string, object: object): void {
    if (this.isJson) write(1, `${JSON.stringify(object)}\n`)
    else if (!this.#isQuiet) write(1, `${line}\n`)
  }

  /** What the user should know, and is no error. */
  note(line: string): void {
    if (!this.#isQuiet) write(2, `${line}\n`)
  }

  error(line: string): void {
    write(2, `${line}\n`)
  }
}

/** Nobody reads what we print any more. */
let isReaderGone = false

/** Whole. A reader that is gone wants no more: that is no error, and the work goes on. */
export function write(fd: 1 | 2, text: string): void {
  if (fd === 1 && isReaderGone) return
  for (let rest = Buffer.from(text); rest.length > 0; ) {
    try {
      rest = rest.subarray(writeSync(fd, rest))
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'EPIPE' && fd === 1) isReaderGone = true
      if (code !== 'EAGAIN') return // nobody can be told
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, FULL_PIPE)
    }
  }
}

/** The same, where printing is all that there is to do. */
export function writeOrEnd(text: string): void {
  write(1, text)
  if (isReaderGone) process.exit(0)
}

/** Loads what knows terminals only where there may be one. */
export function isTerminal(fd: number): boolean {
  try {
    return fstatSync(fd).isCharacterDevice() && process.getBuiltinModule('node:tty').isatty(fd)
  } catch {
    return false // closed
  }
}

/** NO_COLOR and FORCE_COLOR win over what `fd` is: no-color.org, force-color.org. */
export function hasColors(fd: number): boolean {
  const { NO_COLOR, FORCE_COLOR, TERM } = process.env
  if (FORCE_COLOR) return FORCE_COLOR !== '0' && FORCE_COLOR !== 'false'
  if (NO_COLOR) return false
  return TERM !== 'dumb' && isTerminal(fd)
}

/** How many columns the terminal has; no limit where there is none. */
export function columns(fd: number): number {
  if (!isTerminal(fd)) return Number.POSITIVE_INFINITY
  const { columns = 80 } = fd === 1 ? process.stdout : process.stderr
  return columns || 80
}
