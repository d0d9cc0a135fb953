// Records of instances that failed. A tool may have one daemon for each project, and nobody looks at those of old projects.
import { rmSync } from 'node:fs'
import { PidLock } from '../pid-lock.js'
import { pidFilesInRunDirectory } from './paths.js'
import { companionsOf, readLastState } from './state-file.js'

/** How many records of failed instances are kept. */
const MOST = 50
/** How long each is kept, in milliseconds: a day. */
const LONGEST = 24 * 60 * 60 * 1_000

/** Removes the records of failed instances that are too old or too many. What can't be removed stays. */
export function pruneFailedInstances(now = Date.now()): void {
  const failed = pidFilesInRunDirectory().flatMap(path => {
    if (!path.includes('@')) return []
    const { instance, failure } = readLastState(path) ?? {}
    return instance !== undefined && failure !== undefined ? [{ path, at: failure.at }] : []
  })
  const newestFirst = failed.toSorted((a, b) => b.at - a.at)
  for (const { path } of newestFirst.filter(({ at }, index) => index >= MOST || now - at > LONGEST)) {
    try {
      removeRecord(path)
    } catch {
      // it is being started again
    }
  }
}

/**
 * Removes what a daemon left that doesn't run. The pid file is held meanwhile, so that the files of a start that comes now
 * are left alone.
 * @throws AlreadyRunningError it runs
 * @throws SystemCallError the directory can't be written to
 */
export function removeRecord(pidFile: string): void {
  const lock = PidLock.acquire(pidFile)
  for (const path of companionsOf(pidFile)) rmSync(path, { force: true })
  lock.release()
}
