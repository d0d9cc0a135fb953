// One daemon a process, also where two copies of this library are loaded.
import type { Daemon, DaemonizeOptions } from '../types.js'

const DAEMON = Symbol.for('daemonic.daemon')
/** Until the program has called daemonize() where a preload made the daemon: takes that call's options. */
const ADOPT = Symbol.for('daemonic.adopt')

const registry = globalThis as { [DAEMON]?: Daemon; [ADOPT]?: ((options: DaemonizeOptions) => void) | undefined }

export function registered(): Daemon | undefined {
  return registry[DAEMON]
}

export function register(daemon: Daemon, adopt?: (options: DaemonizeOptions) => void): void {
  registry[DAEMON] = daemon
  registry[ADOPT] = adopt
}

/** What takes the options of the first daemonize(); undefined if that is over, or was what made the daemon. */
export function takeAdoption(): ((options: DaemonizeOptions) => void) | undefined {
  const adopt = registry[ADOPT]
  registry[ADOPT] = undefined
  return adopt
}
