// Reporting that a verb failed for one of its targets; it goes on with the others.
import { DaemonError, OptionError, type OptionValues } from './library.js'
import type { Output } from './print.js'
import { absence, nearest, type Target } from './targets.js'
import { withFlagNames } from './usage.js'

/** Prints why the verb failed for `target`, and returns the exit code for that. @throws `error` itself if it is a bug */
export function reportFailure(error: unknown, target: Target, output: Output, options: OptionValues): number {
  if (!(error instanceof DaemonError)) throw error
  const stack = options.verbosity >= 2 ? `\n${error.stack}` : ''
  if (error instanceof OptionError && !options.has('config')) {
    output.error(`daemonic: ${withFlagNames(error)}${stack}`)
  } else {
    const isAbsent = error.code === 'ERR_DAEMON_NOT_RUNNING'
    const message = isAbsent ? `not running (${absence(target)}${nearest(target)})` : withoutName(error.message, target)
    output.error(`${target.name}: ${message}${stack}`)
  }
  return error.exitCode
}

function withoutName(message: string, { name }: Target): string {
  return message.startsWith(`${name}: `) ? message.slice(name.length + 2) : message
}
