// What is known of a daemon besides its pid: a JSON file beside the pid file, believed only while its pid owns the lock.
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { OptionError } from '../errors/classes.js'
import { isName } from '../options/values.js'
import { controlPath, statePath } from './paths.js'

export interface State {
  version: 1
  name: string
  instance?: string
  /** The program's, as launch() was told. */
  release?: string
  pid: number
  /** The command line, the runtime's own flags included, and where it was run. */
  arguments: readonly string[]
  directory: string
  logs: readonly string[]
  addresses: Readonly<Record<string, string>>
  /** Milliseconds. */
  stopTimeout: number
  /** Whether a supervisor answers on the control socket. */
  supervised: boolean
  /** Milliseconds since the epoch. */
  startedAt: number
  /** How launch() was called; absent where the program started itself. */
  launch?: LaunchRecord
}

/** What launch() needs to do the same again, from `directory`. An `env` of null stands for `undefined`. */
export interface LaunchRecord {
  program: string
  options: Readonly<Record<string, unknown>>
}

/** What is known before there is a process: the core adds pid and addresses. */
export type Known = Omit<State, 'pid' | 'addresses'>

/** Where this very process is the daemon. Written beside, then renamed into place: it tells more than the pid file does, but nothing depends on it. */
export function writeState(pidFile: string, state: State): void {
  const [path, draft] = stateFiles(pidFile)
  try {
    writeFileSync(draft, `${JSON.stringify(state)}\n`, { mode: 0o600, flag: 'wx' })
    renameSync(draft, path)
  } catch {
    rmSync(draft, { force: true }) // a directory where only the pid file may be written
  }
}

/** All files that writeState() of this process makes, the draft too. */
export function stateFiles(pidFile: string): [path: string, draft: string] {
  const path = statePath(pidFile)
  return [path, `${path}.${process.pid}`]
}

/** What lies beside a pid file and goes with it: nothing that is somebody else's and only called so. */
export function companionsOf(pidFile: string): string[] {
  const state = readLastState(pidFile)
  if (state === null) return []
  return [statePath(pidFile), ...(state.supervised ? [controlPath(pidFile)] : [])]
}

/**
 * Where a daemon is to be started its state replaces the last one's, and nothing else.
 * @throws OptionError somebody's file is called so
 */
export function requireRoomForState(pidFile: string): void {
  const path = statePath(pidFile)
  if (!existsSync(path) || readLastState(pidFile) !== null) return
  throw new OptionError(
    'pidFile',
    `${path} is in the way: it is where the daemon of this \`pidFile\` is described; move it, or choose another name`,
  )
}

/** The state of the daemon that runs as `pid`, if it is there to be read. */
export function readState(pidFile: string, pid: number | null): State | null {
  const state = readLastState(pidFile)
  return state?.pid === pid ? state : null
}

/** What was last written there: of a daemon that may have ended. */
export function readLastState(pidFile: string): State | null {
  try {
    const state: Partial<State> | null = JSON.parse(readFileSync(statePath(pidFile), 'utf8'))
    return isState(state) ? state : null
  } catch {
    return null
  }
}

/** Files of this name may be anybody's, and may even have a version of 1. */
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
