// A daemon that another copy of this library made, perhaps of another version: the command's, while the program has its own.
import { DaemonError, OptionError } from '../errors/classes.js'
import type { DaemonizeOptions } from '../option-types.js'
import { bothVersions } from '../process/version.js'
import type { Daemon } from '../types.js'

type Adopt = (options: DaemonizeOptions) => void

/** What this version's Daemon has. */
const MEMBERS: Readonly<Record<keyof Daemon, true>> = {
  pid: true,
  name: true,
  detached: true,
  startDirectory: true,
  worker: true,
  pidFile: true,
  sockets: true,
  stopping: true,
  serve: true,
  ready: true,
  busy: true,
  setStatus: true,
  onDrain: true,
  onStop: true,
  onReload: true,
  reopenLogs: true,
  stop: true,
  close: true,
  [Symbol.asyncDispose]: true,
}

/** Makes those members of this version that the daemon's doesn't have throw an error that names both versions. */
export function sayWhatIsMissing(daemon: Daemon, version: string | undefined): void {
  for (const name of Reflect.ownKeys(MEMBERS).filter(name => !(name in daemon))) {
    const get = () => {
      const what = `the daemon has no ${String(name)}: it was made ${bothVersions(version)}. Install one version for both`
      throw new DaemonError(what, 'ERR_DAEMON_VERSION')
    }
    Object.defineProperty(daemon, name, { get, configurable: true })
  }
}

/** Has a refused option name both versions: the other one may not know it. */
export function adoptByOther(adopt: Adopt, version: string | undefined): Adopt {
  return options => {
    try {
      adopt(options)
    } catch (error) {
      if (!(error instanceof OptionError)) throw error
      const { option, message } = error
      throw Object.assign(new OptionError(option, `${message} (the daemon was made ${bothVersions(version)})`), {
        cause: error,
      })
    }
  }
}
