// The decision whether a start needs a supervisor.
import type { Settings } from '../options/settings.js'
import { type Supervision, supervisionOf } from '../options/supervision.js'
import type { Program } from '../process/program.js'

/**
 * Gives how the program is supervised; null where it runs on its own. A program that does not load this library always
 * has a supervisor: it can't hold its pid file, which it would pass on to its children. So has one whose readiness only a
 * supervisor sees.
 */
export function supervisionFor(
  { supervision, ready }: Settings,
  { loadsLibrary = true }: Pick<Program, 'loadsLibrary'>,
): Supervision | null {
  const isSeen = ready !== 'port' && !ready.startsWith('fd=')
  return supervision ?? (loadsLibrary && isSeen ? null : supervisionOf({ monitor: { restart: 'no' } }))
}
