// An error of ours that nobody catches is for a person to read: one paragraph, no stack, its exit code.
import { writeSync } from 'node:fs'
import { inspect } from 'node:util'
import { type DaemonError, OptionError } from './classes.js'

/**
 * Throws `error`. Should it stay uncaught, it is printed without a stack and the process ends with its exit code; an
 * OptionError keeps its stack, which shows the line to mend. Caught ones, and later crashes, are as ever: the listener
 * knows this very object, and is gone once the event loop turns.
 */
export function throwReadably(error: DaemonError): never {
  // A program that listens itself wants to decide itself.
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
 * While the daemon stops, AbortErrors that nobody handles are what its signal was meant to cause. All else is as if
 * nobody listened.
 */
export function tolerateAborts(): void {
  const isAbort = (error: unknown) => error instanceof Error && error.name === 'AbortError'
  process.on('unhandledRejection', (reason: unknown) => {
    if (!isAbort(reason) && process.listenerCount('unhandledRejection') === 1) throw reason
  })
  process.on('uncaughtException', (error: unknown) => {
    if (isAbort(error) || process.listenerCount('uncaughtException') > 1) return
    write(`${inspect(error)}\n`)
    process.exit(1)
  })
}

/** Whole, also where the process is about to end. */
function write(text: string): void {
  try {
    writeSync(2, text)
  } catch {
    // nobody reads it
  }
}
