// What a start says on the terminal before it goes on: whose pid file it takes, and who else may run.
import type { Settings } from '../options/settings.js'
import { PidLock } from '../pid-lock.js'
import { unlockedProcess } from '../running/unlocked-process.js'

/**
 * Warns of a live process that the pid file names without a lock, which may be another system's daemon, and of the owner
 * that loses its pid file to `overwrite`. What can't be read is left to the start, which says why.
 */
export function warnOfOthers({ name, pidFile }: Pick<Settings, 'name' | 'pidFile'>): void {
  if (!pidFile) return
  const { path, overwrite } = pidFile
  try {
    const other = unlockedProcess(path)
    if (other !== null) warn(name, `${path} names pid ${other}, which runs and doesn't lock it; starting beside it`)
    if (!overwrite) return
    const { state, pid } = PidLock.inspect(path)
    if (state === 'absent' || state === 'free') return
    warn(name, `taking over ${path} from ${pid === null ? 'a start' : `pid ${pid}`}, which goes on`)
  } catch {
    // the start meets the same
  }
}

/** Says it on the terminal, as a warning of the program `name`. */
export function warn(name: string, text: string): void {
  console.error(`${name}: warning: ${text}`)
}
