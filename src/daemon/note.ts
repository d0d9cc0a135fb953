// What a launcher or supervisor writes down for the daemon that it starts.
import type { DaemonizeOptions } from '../types.js'
import type { Log } from './log-files.js'

/** What the launcher decided and the daemon needs to know: the marker's note. */
export interface Note {
  name: string
  pidFile: string | null
  logs: Log[]
  /** A supervised one's index, how many there are at the start, and how often it is to say that its event loop turns. */
  worker?: number
  workers?: number
  watchdog?: number | null
  /** Of the Unix sockets, by name: the kernel may know a shorter one. */
  paths: Record<string, string>
  /** Null where the program itself called daemonize(). */
  given: Given | null
}

/** What launch() was given, for the preload. */
export interface Given {
  /** What is applied here, not before exec. */
  options: DaemonizeOptions
  /** The names of all options. */
  keys: string[]
}
