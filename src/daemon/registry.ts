// The daemon of this process: one, also where two copies of this library are loaded.
import type { DaemonizeOptions } from '../option-types.js'
import type { Daemon } from '../types.js'

const DAEMON = Symbol.for('daemonic.daemon')
/** The function that takes the options of daemonize() in a program that the preload has made a daemon already. */
const ADOPT = Symbol.for('daemonic.adopt')

const registry = globalThis as { [DAEMON]?: Daemon; [ADOPT]?: ((options: DaemonizeOptions) => void) | undefined }

/** Gives the daemon that this process is; undefined where it is none. */
export function registered(): Daemon | undefined {
  return registry[DAEMON]
}

/** Makes `daemon` the one of this process; `adopt` takes the options that a later daemonize() gives. */
export function register(daemon: Daemon, adopt?: (options: DaemonizeOptions) => void): void {
  registry[DAEMON] = daemon
  registry[ADOPT] = adopt
}

/** Forgets a daemon that was closed: the process may become one again. */
export function unregister(daemon: Daemon): void {
  if (registry[DAEMON] === daemon) delete registry[DAEMON]
}

/** Gives, once, the function that takes the options of daemonize(); undefined where daemonize() itself made the daemon. */
export function takeAdoption(): ((options: DaemonizeOptions) => void) | undefined {
  const adopt = registry[ADOPT]
  registry[ADOPT] = undefined
  return adopt
}
