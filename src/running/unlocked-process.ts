// Another system's daemon, during a migration: a process that a pid file names, and that doesn't lock the file.
import { native } from '../binding/addon.js'

/**
 * Gives the pid of a live process that the unlocked pid file at `path` names; null if there is none. It must have been
 * started before the file was written: a process that got the pid of an exited daemon is not meant.
 */
export function unlockedProcess(path: string): number | null {
  return native.namedProcess(path) ?? null
}
