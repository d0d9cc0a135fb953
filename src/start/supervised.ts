// Whether a start needs a supervisor.
import type { Settings } from '../options/settings.js'
import { type Supervision, supervisionOf } from '../options/supervision.js'
import type { Program } from '../process/program.js'

/** Null where the program runs on its own. One that isn't Node's can't hold its pid file: it never heard of CLOEXEC. Some readiness only a supervisor sees. */
export function supervisionFor(
  { supervision, ready }: Settings,
  { isOurs = true }: Pick<Program, 'isOurs'>,
): Supervision | null {
  const isSeen = ready === 'auto' || ready === 'manual'
  return supervision ?? (isOurs && isSeen ? null : supervisionOf({ monitor: { restart: 'no' } }))
}
