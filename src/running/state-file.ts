// The state file, a JSON file beside the pid file: what is known of a daemon besides its pid. It is believed only while its
// pid owns the lock. Others may be able to put a file there, so that its owner decides what it is believed for.
import { closeSync, fstatSync, lstatSync, readFileSync, renameSync, unlinkSync, writeFileSync } from 'node:fs'
import type { KilledDaemonPlan } from '#native'
import { DaemonError, during, OptionError } from '../errors/classes.js'
import { isName } from '../options/values.js'
import type { ServiceUnit } from '../process/service-unit.js'
import { isOfThisBoot } from './boot.js'
import { controlPath, statePath } from './paths.js'
import { openRegularFile, readAtMost } from './regular-file.js'

/** What the state file of a daemon says. */
export interface State {
  version: 1
  name: string
  instance?: string
  /** The process title, where that isn't the name. */
  title?: string
  /** The last text of setStatus(), where there is no supervisor. */
  statusText?: string
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
  /** The unit of a service manager that the daemon is; absent where it is none. */
  service?: ServiceUnit
  /** The id of the start, which every process under its supervisor has as DAEMONIC_INVOCATION_ID, and their user. */
  invocation?: string
  user?: number
  /** The daemon's session, and where and when that number means it; only beside `invocation`. */
  session?: number
  pidSpace?: string
  /** The boot of the system in which it was started; absent where the system doesn't tell. */
  bootId?: string
  /** The number of workers that scale() or a signal has set, for a restart. */
  scaledTo?: number
  /** How the daemon failed for good after it was ready: then the file stays, as the record of that. */
  failure?: FailureRecord
  /** How launch() was called; absent where the program calls daemonize() itself. */
  launch?: LaunchRecord
}

/** The failure that ended a daemon, as its supervisor writes it. */
export interface FailureRecord {
  /** The daemon's exit code, 128 + N for signal N. */
  exitCode: number
  /** How its last worker exited, with the last line of that one's stderr. */
  lastExit: string
  /** How many failures there were in a row. */
  failures: number
  /** How often workers had been restarted, and how many workers there were to be. */
  restarts: number
  workers: number
  /** The moment, in milliseconds since the epoch. */
  at: number
}

/** The arguments of launch(), for a restart from `directory`. A variable of null in `env` stands for `undefined`. */
export interface LaunchRecord {
  program: string
  options: Readonly<Record<string, unknown>>
}

/** The longest state file that is read, in bytes. A command line and `env` are limited to 2 MiB by execve(2). */
const LONGEST = 8 * 1024 * 1024
/** The bits of a mode that let others write. */
const OTHERS_WRITE = 0o022

/** What is known before there is a process; the core adds the rest. */
export type Known = Omit<State, 'pid' | 'addresses' | 'session' | 'pidSpace'>

/**
 * Writes the state file of a daemon: beside its path first, then renamed into place, so that readers find all of it or
 * none. Where it can't be written the daemon runs without one.
 */
export function writeState(pidFile: string, state: State): void {
  try {
    draftState(pidFile, state, stateFiles(pidFile)[1]).publish()
  } catch {
    // the user may write the pid file, but create no file in its directory
  }
}

/**
 * Writes the state file under another name: afterwards the disk can be full, and still it can be published.
 * @throws SystemCallError it can't be written
 */
export function draftState(
  pidFile: string,
  state: State,
  draft = `${statePath(pidFile)}.last`,
): { publish(): void; discard(): void } {
  const discard = () => {
    try {
      unlinkSync(draft)
    } catch {
      // it is not there
    }
  }
  const orDiscard = (action: () => void) => {
    try {
      during('write the state file', draft, action)
    } catch (error) {
      discard()
      throw error
    }
  }
  orDiscard(() => {
    discard() // left by a process that was killed
    writeFileSync(draft, `${JSON.stringify(state)}\n`, { mode: 0o600, flag: 'wx' })
  })
  return { publish: () => orDiscard(() => renameSync(draft, statePath(pidFile))), discard }
}

/** What a daemon may change in its state file. */
export type StateChange = Partial<Pick<State, 'stopTimeout' | 'statusText' | 'addresses'>>

/** Changes the state file of this very process, where it may. */
export function recordInState(pidFile: string, change: StateChange): void {
  const state = readState(pidFile, process.pid)
  if (state !== null) writeState(pidFile, { ...state, ...change })
}

/** Returns the paths that {@link writeState} of this process writes: the state file and its draft. */
export function stateFiles(pidFile: string): [path: string, draft: string] {
  const path = statePath(pidFile)
  return [path, `${path}.${process.pid}`]
}

/** Lists the files beside a pid file that are removed with it. A file that only has such a name isn't listed. */
export function companionsOf(pidFile: string): string[] {
  const found = find(pidFile)
  if (found === null) return []
  return [statePath(pidFile), ...(found.state.supervised ? [controlPath(pidFile)] : [])]
}

/**
 * Makes sure that a start overwrites no other file: in the place of the state file may be only an older state file.
 * @throws OptionError another file is there
 */
export function requireRoomForState(pidFile: string): void {
  const path = statePath(pidFile)
  if (!lstatSync(path, { throwIfNoEntry: false }) || find(pidFile) !== null) return
  throw new OptionError(
    'pidFile',
    `${path} is in the way: it is where the daemon of this \`pidFile\` is described; move it, or choose another name`,
  )
}

/**
 * Reads what the next start has to know of a daemon that was killed, so that the processes which it left can be told from
 * others. Only a file of this user or root is believed.
 */
export function killedDaemon(pidFile: string): KilledDaemonPlan | null {
  const found = find(pidFile)
  if (found === null || !isOurs(found)) return null
  const { pid, session, pidSpace, invocation, user, failure } = found.state
  if (failure !== undefined) return null // it ended by itself, and its processes with it
  if (session === undefined || pidSpace === undefined || invocation === undefined || user === undefined) return null
  return { pid, session, pidSpace, invocation, user }
}

/**
 * Reads the state of the daemon that runs as `pid`; null if the file is another daemon's, or can't be read. A file of the
 * daemon's own user is believed, too: what it says is shown, and never executed.
 */
export function readState(pidFile: string, pid: number | null): State | null {
  return readWithAuthor(pidFile, pid)?.state ?? null
}

/** Reads the same, with the user whose word it is; null for this user's own word, and root's. */
export function readWithAuthor(pidFile: string, pid: number | null): { state: State; author: number | null } | null {
  const found = find(pidFile)
  if (pid === null || found?.state.pid !== pid) return null
  const { state, owner } = found
  if (isOurs(found)) return { state, author: null }
  return owner === userOf(pid, pidFile) ? { state, author: owner } : null
}

/** Reads the last state that was written, of a daemon that may have exited, to show it; null if there is none. */
export function readLastState(pidFile: string): State | null {
  const found = find(pidFile)
  if (found === null) return null
  return isOurs(found) || found.owner === ownerOf(pidFile) ? found.state : null
}

/**
 * Reads how the daemon failed for good, to show it; null if it didn't, or if the system was booted since then: what failed
 * before that has merely stopped.
 */
export function readFailure(pidFile: string): FailureRecord | null {
  const last = readLastState(pidFile)
  return last?.failure && isOfThisBoot(last) ? last.failure : null
}

/**
 * Reads how a daemon was started, to execute that again: only a file of this user or root is believed. The daemon's own
 * user isn't, since a program that root started under another user could have put the file there.
 * @throws DaemonError EPERM: the file belongs to another user
 */
export function readStateToExecute(pidFile: string): State | null {
  const found = find(pidFile)
  if (found === null || isOurs(found)) return found?.state ?? null
  throw new DaemonError(`${statePath(pidFile)} belongs to user ${found.owner}: restart it as that user`, 'EPERM')
}

/** A state file as one open descriptor showed it. */
interface Found {
  state: State
  owner: number
}

/** Reads the state file, whoever owns it: null for all but a regular file with one name, which its owner alone can write. */
function find(pidFile: string): Found | null {
  let fd: number
  try {
    fd = openRegularFile(statePath(pidFile))
  } catch {
    return null
  }
  try {
    const { nlink, mode, uid } = fstatSync(fd)
    if (nlink !== 1 || (mode & OTHERS_WRITE) !== 0) return null
    const state: Partial<State> | null = JSON.parse(readAtMost(fd, LONGEST) ?? 'null')
    return isState(state) ? { state, owner: uid } : null
  } catch {
    return null
  } finally {
    closeSync(fd)
  }
}

function isOurs({ owner }: Found): boolean {
  return owner === 0 || owner === process.geteuid?.()
}

/** Returns the real user of a process: proc_pid_status(5). Without /proc it counts as the owner of its pid file. */
function userOf(pid: number, pidFile: string): number | null {
  try {
    return Number(/^Uid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? Number.NaN)
  } catch {
    return ownerOf(pidFile)
  }
}

function ownerOf(pidFile: string): number | null {
  return lstatSync(pidFile, { throwIfNoEntry: false })?.uid ?? null
}

/** Tells a state file from another JSON file of that name. Every part is looked at: callers rely on what they are. */
function isState(found: Partial<State> | null): found is State {
  return (
    found?.version === 1 &&
    Number.isSafeInteger(found.pid) &&
    isName(found.name) &&
    isOptionalText(found.instance) &&
    isOptionalText(found.title) &&
    isOptionalText(found.statusText) &&
    isOptionalText(found.release) &&
    isTexts(found.arguments) &&
    typeof found.directory === 'string' &&
    isTexts(found.logs) &&
    isObject(found.addresses) &&
    isTexts(Object.values(found.addresses)) &&
    Number.isFinite(found.stopTimeout) &&
    typeof found.supervised === 'boolean' &&
    Number.isFinite(found.startedAt) &&
    (found.service === undefined || isUnit(found.service)) &&
    isOptionalText(found.invocation) &&
    isOptionalId(found.user) &&
    isOptionalId(found.session) &&
    isOptionalText(found.pidSpace) &&
    isOptionalText(found.bootId) &&
    (found.scaledTo === undefined || Number.isSafeInteger(found.scaledTo)) &&
    (found.failure === undefined || isFailure(found.failure)) &&
    (found.launch === undefined ||
      (isObject(found.launch) && typeof found.launch.program === 'string' && isObject(found.launch.options)))
  )
}

/** A unit's name becomes a word of a command line, and must not be an option. */
function isUnit({ manager, unit, user }: Partial<ServiceUnit>): boolean {
  const isKnown = manager === 'systemd' || manager === 'launchd'
  return isKnown && typeof unit === 'string' && /^\w[\w:.@\\-]{0,254}$/.test(unit) && (user === undefined || user)
}

function isFailure(found: Partial<FailureRecord>): found is FailureRecord {
  return (
    isObject(found) &&
    Number.isSafeInteger(found.exitCode) &&
    typeof found.lastExit === 'string' &&
    Number.isSafeInteger(found.failures) &&
    Number.isSafeInteger(found.restarts) &&
    Number.isSafeInteger(found.workers) &&
    Number.isFinite(found.at)
  )
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every(each => typeof each === 'string')
}

function isOptionalId(value: unknown): boolean {
  return value === undefined || (Number.isInteger(value) && Number(value) >= 0 && Number(value) < 2 ** 32)
}

function isOptionalText(value: unknown): boolean {
  return value === undefined || typeof value === 'string'
}
