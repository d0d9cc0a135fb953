// The daemon of this process: one, also where two copies of this library are loaded.
import type { DaemonizeOptions } from '../option-types.js'
import { VERSION } from '../process/version.js'
import type { Daemon } from '../types.js'
import { adoptByOther, sayWhatIsMissing } from './other-copy.js'

const DAEMON = Symbol.for('daemonic.daemon')
/** The function that takes the options of daemonize() in a program that the preload has made a daemon already. */
const ADOPT = Symbol.for('daemonic.adopt')
/** The version of the copy that made the daemon. */
const MADE_BY = Symbol.for('daemonic.version')

const registry = globalThis as {
  [DAEMON]?: Daemon
  [ADOPT]?: ((options: DaemonizeOptions) => void) | undefined
  [MADE_BY]?: string
}

/** Gives the daemon that this process is; undefined where it is none. */
export function registered(): Daemon | undefined {
  const daemon = registry[DAEMON]
  if (daemon && registry[MADE_BY] !== VERSION) sayWhatIsMissing(daemon, registry[MADE_BY])
  return daemon
}

/** Makes `daemon` the one of this process; `adopt` takes the options that a later daemonize() gives. */
export function register(daemon: Daemon, adopt?: (options: DaemonizeOptions) => void): void {
  registry[DAEMON] = daemon
  registry[ADOPT] = adopt
  registry[MADE_BY] = VERSION
}

/** Forgets a daemon that was closed: the process may become one again. */
export function unregister(daemon: Daemon): void {
  if (registry[DAEMON] === daemon) delete registry[DAEMON]
}

/** Gives, once, the function that takes the options of daemonize(); undefined where daemonize() itself made the daemon. */
export function takeAdoption(): ((options: DaemonizeOptions) => void) | undefined {
  const adopt = registry[ADOPT]
  registry[ADOPT] = undefined
  return adopt && registry[MADE_BY] !== VERSION ? adoptByOther(adopt, registry[MADE_BY]) : adopt
}
