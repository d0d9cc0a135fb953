// The note that a launcher or supervisor writes for the daemon that it starts.
import type { DaemonizeOptions } from '../option-types.js'
import type { Log } from './log-files.js'

/**
 * The format of the note, and of the marker around it. A daemon reads the note of another version of the library where the
 * command starts a program that has a copy of its own, and where a package was upgraded under a running supervisor. A change
 * that an older reader would misunderstand counts it up.
 */
export const NOTE_FORMAT = 1

/** What was decided before the daemon's exec, and the daemon needs to know. It is part of the marker in the environment. */
export interface Note {
  format: number
  /** The version of the library that wrote it. */
  version: string
  name: string
  pidFile: string | null
  logs: Log[]
  /** Of a worker: its index, the number of workers at the start, and the milliseconds that its watchdog allows. */
  worker?: number
  workers?: number
  watchdog?: number | null
  /** Whether the supervisor took the place of a program in the foreground. */
  foreground?: boolean
  /** Paths of Unix sockets, by name: the kernel may know a shorter one, by which a long one was bound. */
  paths: Record<string, string>
  /** What launch() or the command was given; null where the program itself called daemonize(). */
  given: Given | null
}

/** The options that launch() or the command was given. */
export interface Given {
  /** Those that the daemon applies itself, by the preload; the others were applied before exec. */
  options: DaemonizeOptions
  /** The names of all that were given. */
  keys: string[]
}
