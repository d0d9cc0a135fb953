// Errors from below know paths; here they learn whose they are.

import { AlreadyRunningError, SystemCallError } from '../errors/classes.js'
import type { Settings } from '../options/settings.js'

/** Adds the daemon's name, and which output a log is for, to errors that come from below. */
export function naming<T>(settings: Settings, action: () => T): T {
  try {
    return action()
  } catch (error) {
    throw named(settings, error)
  }
}

/** The same for an error that has come. */
export function named({ name, stdout, stderr }: Settings, error: unknown): unknown {
  if (error instanceof AlreadyRunningError) return new AlreadyRunningError(error.path, error.pid, name)
  if (error instanceof SystemCallError && error.step === 'log' && error.path) {
    const outputs = Object.entries({ stdout, stderr }).filter(([, stream]) => stream.path === error.path)
    error.message = error.message.replace(error.path, `${error.path} (${outputs.map(([key]) => key).join(', ')})`)
  }
  return error
}
