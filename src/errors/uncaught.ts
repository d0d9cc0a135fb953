// Errors that nobody catches: those of this library end the process with one paragraph for a person, and no stack.
import { writeSync } from 'node:fs'
import { inspect } from 'node:util'
import { type DaemonError, OptionError } from './classes.js'

/** Milliseconds between two tries to write to a full pipe. */
const RETRY = 5

/**
 * Throws `error` so that, should it stay uncaught, it is printed without a stack and the process exits with its exit
 * code; an OptionError keeps its stack, which shows the line to mend. Caught errors and later crashes stay as in any
 * program: the listener acts on this very object alone, and is removed once the event loop turns.
 */
export function throwReadably(error: DaemonError): never {
  // A program that listens for uncaught errors decides itself what becomes of them.
  if (!(error instanceof OptionError) && process.listenerCount('uncaughtException') === 0) {
    const listener = (thrown: unknown) => {
      write(thrown === error ? `${error.message}\n` : `${inspect(thrown)}\n`)
      process.exit(thrown === error ? error.exitCode : 1)
    }
    process.on('uncaughtException', listener)
    setImmediate(() => process.off('uncaughtException', listener))
  }
  throw error
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
    if (isAbort(error) || process.listenerCount('uncaughtException') > 1) return
    write(`${inspect(error)}\n`)
    process.exit(1)
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
