// What is known of a daemon before there is a process: for the state file.
import type { Log } from '../daemon/log-files.js'
import type { Settings } from '../options/settings.js'
import type { Program } from '../process/program.js'
import type { Known, LaunchRecord } from '../running/state-file.js'
import { supervisionFor } from './supervised.js'

export function knownOf(
  settings: Settings,
  command: Pick<Program, 'arguments' | 'directory' | 'isOurs'>,
  logs: readonly Log[],
  launch?: LaunchRecord,
): Known {
  const { name, instance, version, stopTimeout } = settings
  const paths = [...new Set(logs.map(log => log.path))]
  const identity = { name, ...(instance !== null && { instance }), ...(version !== null && { release: version }) }
  const { arguments: words, directory } = command
  const supervised = supervisionFor(settings, command) !== null
  const rest = { logs: paths, stopTimeout, supervised, startedAt: Date.now(), ...(launch && { launch }) }
  return { version: 1, ...identity, arguments: words, directory, ...rest }
}
