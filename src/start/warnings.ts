// What a start says on the terminal besides its result: whose pid file it takes, who else may run, who was faster.
import { AlreadyRunningError } from '../errors/classes.js'
import type { Settings } from '../options/settings.js'
import { isTold } from '../options/verbosity.js'
import { type PidFileState, PidLock } from '../pid-lock.js'
import { unlockedProcess } from '../running/unlocked-process.js'

type Starting = Pick<Settings, 'name' | 'pidFile' | 'environment'>

/**
 * Warns of a live process that the pid file names without a lock, which may be another system's daemon, and of the owner
 * that loses its pid file to `overwrite`; with -v also of a file that an owner left. What can't be read is left to the
 * start, which says why. Gives what the pid file was before the start, null where that isn't known.
 */
export function warnOfOthers({ name, pidFile, environment }: Starting): PidFileState | null {
  if (!pidFile) return null
  const { path, overwrite } = pidFile
  try {
    const other = unlockedProcess(path)
    if (other !== null) warn(name, `${path} names pid ${other}, which runs and doesn't lock it; starting beside it`)
    const found = PidLock.inspect(path)
    const { state, pid } = found
    const isLocked = state !== 'absent' && state !== 'free'
    if (isLocked && overwrite)
      warn(name, `taking over ${path} from ${pid === null ? 'a start' : `pid ${pid}`}, which goes on`)
    if (state === 'free' && pid !== null && other === null && isTold('info', environment))
      say(name, `${path} was left by pid ${pid}: taking it over`)
    return found
  } catch {
    return null // the start meets the same
  }
}

/** With -v, says that another start got the pid file since {@link warnOfOthers} found it `before`. */
export function tellOfLostRace({ name, environment }: Starting, before: PidFileState | null, error: unknown): void {
  const wasFree = before?.state === 'absent' || before?.state === 'free'
  if (!wasFree || !(error instanceof AlreadyRunningError) || !isTold('info', environment)) return
  say(name, `lost the race for ${error.path} to ${error.pid === null ? 'another start' : `pid ${error.pid}`}`)
}

/** Says it on the terminal, as a warning of the program `name`. */
export function warn(name: string, text: string): void {
  say(name, `warning: ${text}`)
}

function say(name: string, text: string): void {
  console.error(`${name}: ${text}`)
}
