// Errors of the core know paths; here they learn of which daemon, and of which option.
import { AlreadyRunningError, SystemCallError } from '../errors/classes.js'
import type { Settings } from '../options/settings.js'

/** Runs a step of a start; its errors name the daemon, and the output that a log is for. */
export function namingErrors<T>(settings: Settings, action: () => T): T {
  try {
    return action()
  } catch (error) {
    throw withNames(settings, error)
  }
}

/** Gives the error with the daemon's name, and with the output that a log is for. */
export function withNames({ name, stdout, stderr }: Settings, error: unknown): unknown {
  if (error instanceof AlreadyRunningError) return new AlreadyRunningError(error.path, error.pid, name)
  if (error instanceof SystemCallError && error.step === 'log' && error.path) {
    const outputs = Object.entries({ stdout, stderr }).filter(([, stream]) => stream.path === error.path)
    error.message = error.message.replace(error.path, `${error.path} (${outputs.map(([key]) => key).join(', ')})`)
  }
  return error
}
