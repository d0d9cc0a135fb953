// status --probe: one line and an exit code for the health checks of containers.
import type { Invocation } from './invocation.js'
import { DaemonError, supervisorPath } from './library.js'
import { parseTarget } from './targets.js'
import { UsageError } from './usage.js'

/** Has the supervisor's executable look, which health checks can also call without Node; returns its exit code. */
export function probe({ options, words: [word, another] }: Invocation): number {
  if (word === undefined || another !== undefined) throw new UsageError('Expected one target with --probe', 'status')
  const { spawnSync } = process.getBuiltinModule('node:child_process')
  const words = ['probe', parseTarget(word).path, options.get<string>('probe') ?? '']
  const { status, error } = spawnSync(supervisorPath(), words, { stdio: 'inherit' })
  if (error) throw new DaemonError(`cannot execute ${supervisorPath()}: ${error.message}`, 'ERR_DAEMON_STATUS')
  return status ?? 1
}
