// The state file, a JSON file beside the pid file: what is known of a daemon besides its pid. It is believed only while its
// pid owns the lock.
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { OptionError } from '../errors/classes.js'
import { isName } from '../options/values.js'
import { controlPath, statePath } from './paths.js'

/** What the state file of a daemon says. */
export interface State {
  version: 1
  name: string
  instance?: string
  /** The program's version: the `version` option of launch(). */
  release?: string
  pid: number
  /** The command line, the runtime's own flags included, and the directory where it was run. */
  arguments: readonly string[]
  directory: string
  logs: readonly string[]
  addresses: Readonly<Record<string, string>>
  /** How long the daemon may take to stop, in milliseconds. */
  stopTimeout: number
  /** Whether a supervisor answers on the control socket. */
  supervised: boolean
  /** The moment of the start, in milliseconds since the epoch. */
  startedAt: number
  /** How launch() was called; absent where the program calls daemonize() itself. */
  launch?: LaunchRecord
}

/** The arguments of launch(), for a restart from `directory`. A variable of null in `env` stands for `undefined`. */
export interface LaunchRecord {
  program: string
  options: Readonly<Record<string, unknown>>
}

/** What is known before there is a process; the core adds the pid and the addresses. */
export type Known = Omit<State, 'pid' | 'addresses'>

/**
 * Writes the state file of a daemon: beside its path first, then renamed into place, so that readers find all of it or
 * none. Where it can't be written the daemon runs without one.
 */
export function writeState(pidFile: string, state: State): void {
  const [path, draft] = stateFiles(pidFile)
  try {
    writeFileSync(draft, `${JSON.stringify(state)}\n`, { mode: 0o600, flag: 'wx' })
    renameSync(draft, path)
  } catch {
    rmSync(draft, { force: true }) // the user may write the pid file, but create no file in its directory
  }
}

/** Changes the stopTimeout, in milliseconds, in the state file of this very process. */
export function recordStopTimeout(pidFile: string, stopTimeout: number): void {
  const state = readState(pidFile, process.pid)
  if (state !== null) writeState(pidFile, { ...state, stopTimeout })
}

/** Returns the paths that {@link writeState} of this process writes: the state file and its draft. */
export function stateFiles(pidFile: string): [path: string, draft: string] {
  const path = statePath(pidFile)
  return [path, `${path}.${process.pid}`]
}

/** Lists the files beside a pid file that are removed with it. A file that only has such a name isn't listed. */
export function companionsOf(pidFile: string): string[] {
  const state = readLastState(pidFile)
  if (state === null) return []
  return [statePath(pidFile), ...(state.supervised ? [controlPath(pidFile)] : [])]
}

/**
 * Makes sure that a start overwrites no other file: in the place of the state file may be only an older state file.
 * @throws OptionError another file is there
 */
export function requireRoomForState(pidFile: string): void {
  const path = statePath(pidFile)
  if (!existsSync(path) || readLastState(pidFile) !== null) return
  throw new OptionError(
    'pidFile',
    `${path} is in the way: it is where the daemon of this \`pidFile\` is described; move it, or choose another name`,
  )
}

/** Reads the state of the daemon that runs as `pid`; null if the file is another daemon's, or can't be read. */
export function readState(pidFile: string, pid: number | null): State | null {
  const state = readLastState(pidFile)
  return state?.pid === pid ? state : null
}

/** Reads the last state that was written, of a daemon that may have exited; null if there is none. */
export function readLastState(pidFile: string): State | null {
  try {
    const state: Partial<State> | null = JSON.parse(readFileSync(statePath(pidFile), 'utf8'))
    return isState(state) ? state : null
  } catch {
    return null
  }
}

/** Tells a state file from another JSON file of that name. */
function isState(found: Partial<State> | null): found is State {
  return (
    found?.version === 1 &&
    typeof found.pid === 'number' &&
    isName(found.name) &&
    Array.isArray(found.arguments) &&
    typeof found.directory === 'string' &&
    typeof found.startedAt === 'number'
  )
}
