// What is known of a daemon besides its pid: a JSON file beside the pid file, believed only while its pid owns the lock.
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import type { Log } from './logs.js'
import type { Settings } from './options.js'
import { controlPath, statePath } from './paths.js'
import type { Program } from './program.js'
import { supervisionFor } from './supervision.js'

/** Where nothing else is known; milliseconds. Less than Kubernetes' 30 s. */
export const STOP_TIMEOUT = 25_000

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

export function knownOf(
  settings: Settings,
  command: Pick<Program, 'arguments' | 'directory' | 'isOurs'>,
  logs: readonly Log[],
  launch?: LaunchRecord,
): Known {
  const { name, instance, version, stopTimeout } = settings
  const paths = [...new Set(logs.map(log => log.path))]
  const identity = { name, ...(instance !== null && { instance }), ...(version !== null && { release: version }) }
  const { arguments: words, directory } = command
  const supervised = supervisionFor(settings, command) !== null
  const rest = { logs: paths, stopTimeout, supervised, startedAt: Date.now(), ...(launch && { launch }) }
  return { version: 1, ...identity, arguments: words, directory, ...rest }
}

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

/** What lies beside a pid file and goes with it. A socket there is a supervisor's, or somebody's who calls it so. */
export function companionsOf(pidFile: string, isSupervised = readLastState(pidFile)?.supervised): string[] {
  return [...stateFiles(pidFile), ...(isSupervised ? [controlPath(pidFile)] : [])]
}

/** The state of the daemon that runs as `pid`, if it is there to be read. */
export function readState(pidFile: string, pid: number | null): State | null {
  const state = readLastState(pidFile)
  return state?.pid === pid ? state : null
}

/** What was last written there: of a daemon that may have ended. */
export function readLastState(pidFile: string): State | null {
  try {
    const state: State = JSON.parse(readFileSync(statePath(pidFile), 'utf8'))
    return state.version === 1 ? state : null
  } catch {
    return null
  }
}
