// Errors that nobody catches: those of this library end the process with one paragraph for a person, and no stack.
import { writeSync } from 'node:fs'
import { inspect } from 'node:util'
import { isOfLibrary } from './brand.js'

/** What is read of an error of this library, whichever of its copies made it. */
interface Uncaught {
  message: string
  stack?: string
  code: string
  exitCode: number
}

/** Milliseconds between two tries to write to a full pipe. */
const RETRY = 5

let isWatching = false

/**
 * From now on, an error of this library that stays uncaught, thrown or as a rejection, is printed as one paragraph and the
 * process exits with its exit code. A program that handles uncaught errors itself decides what becomes of them, and a
 * thread's errors belong to who started it.
 */
export function endReadably(): void {
  if (isWatching) return
  isWatching = true
  // A monitor changes nothing for other errors: Node treats them as if it were not there.
  process.on('uncaughtExceptionMonitor', error => {
    if (process.listenerCount('uncaughtException') > 0 || process.hasUncaughtExceptionCaptureCallback()) return
    if (isOfLibrary(error) && process.getBuiltinModule('node:worker_threads').isMainThread) end(error)
  })
}

function end(error: unknown): never {
  if (!isOfLibrary(error)) {
    write(`${inspect(error)}\n`)
    process.exit(1)
  }
  const ours = error as unknown as Uncaught
  write(`${paragraph(ours)}\n`)
  process.exit(ours.exitCode)
}

/** Gives the message; of a wrong option, which is a bug, also the lines of the program that led to it. */
function paragraph({ message, code, stack = '' }: Uncaught): string {
  if (code !== 'ERR_DAEMON_OPTION') return message
  const frames = stack.split('\n').filter(line => /^ {4}at /.test(line) && !/\bnode:|<anonymous>\)$/.test(line))
  const others = frames.filter(frame => !isOwnFrame(frame))
  return [`OptionError: ${message}`, ...(others.length > 0 ? others : frames)].join('\n')
}

/** Whether a line of a stack is in this library: its bundles lie in one directory, and nothing else does. */
function isOwnFrame(frame: string): boolean {
  const own: string | undefined = import.meta.url
  const [, file] = /(?:\(|at )(file:.*?):\d+:\d+\)?$/.exec(frame) ?? []
  return own !== undefined && file !== undefined && new URL('.', file).href === new URL('.', own).href
}

/**
 * Lets AbortErrors stay unhandled from now on: while the daemon stops, its `stopping` signal is meant to cause them. All
 * other errors end the process as if these listeners were not there. Gives a function that ends this.
 */
export function tolerateAborts(): () => void {
  const isAbort = (error: unknown) => error instanceof Error && error.name === 'AbortError'
  const onRejection = (reason: unknown) => {
    if (!isAbort(reason) && process.listenerCount('unhandledRejection') === 1) throw reason
  }
  const onException = (error: unknown) => {
    if (!isAbort(error) && process.listenerCount('uncaughtException') === 1) end(error)
  }
  process.on('unhandledRejection', onRejection).on('uncaughtException', onException)
  return () => void process.off('unhandledRejection', onRejection).off('uncaughtException', onException)
}

/** Writes all of the text before it returns: the process is about to exit. */
function write(text: string): void {
  let rest = Buffer.from(text)
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(2, rest))
    } catch (error) {
      // A pipe that is full, and does not block. Any other failure means that there is no reader to miss the rest.
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') return
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY)
    }
  }
}
