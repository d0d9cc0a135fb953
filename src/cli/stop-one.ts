// Stopping one daemon, as `stop` and `restart` do.
import { elapsed, type Stopped, stop } from './library.js'
import { absence, type Target } from './targets.js'
import { hintAtManager } from './unit.js'

/** What a verb did to one daemon: the line to print, and with --json the fields to print instead. */
export interface Outcome {
  line: string
  fields?: object
}

/** Stops the daemon of `target` and waits until it has exited. A daemon that doesn't run is no error. */
export async function stopOne(
  target: Target,
  options: { timeout?: number | undefined; signal?: NodeJS.Signals | undefined; force?: boolean },
): Promise<Outcome> {
  // Asked before the stop, which removes the files that tell it.
  const reason = absence(target)
  const hint = hintAtManager(target)
  const stopped = await stop(target.path, options)
  const how = stopped.forced ? 'killed' : 'stopped'
  return {
    line: stopped.wasRunning
      ? `${how} (pid ${stopped.pid}, ${elapsed(stopped.elapsed)})${endOf(stopped)}${hint}`
      : `not running (${reason})`,
    fields: stopped,
  }
}

/** Says how it ended where it didn't end well; '' where it did. */
function endOf({ killed, exitCode }: Stopped): string {
  if (killed.length > 0) return `: pid ${killed.join(', ')} had not ended in time and was killed`
  return exitCode ? `: it ended with ${exitCode}` : ''
}
