// The description of a daemon in its state file, as far as it is known before there is a process.
import type { Log } from '../daemon/log-files.js'
import type { Settings } from '../options/settings.js'
import type { Program } from '../process/program.js'
import type { ServiceUnit } from '../process/service-unit.js'
import { bootId } from '../running/boot.js'
import type { Known, LaunchRecord } from '../running/state-file.js'

/** Describes a daemon that is to be started, with or without a supervisor; the core adds pid and addresses. */
export function knownOf(
  settings: Settings,
  command: Pick<Program, 'arguments' | 'directory'>,
  supervised: boolean,
  logs: readonly Log[],
  launch?: LaunchRecord,
  service: ServiceUnit | null = null,
): Known {
  const { name, title, instance, version, stopTimeout } = settings
  const paths = [...new Set(logs.map(log => log.path))]
  const identity = {
    name,
    ...(title !== name && { title }),
    ...(instance !== null && { instance }),
    ...(version !== null && { release: version }),
  }
  const { arguments: words, directory } = command
  const boot = bootId()
  const rest = {
    logs: paths,
    stopTimeout,
    supervised,
    startedAt: Date.now(),
    ...(boot !== undefined && { bootId: boot }),
    ...(service && { service }),
    ...(launch && { launch }),
  }
  return { version: 1, ...identity, arguments: words, directory, ...rest }
}
