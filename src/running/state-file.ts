// The state file, a JSON file beside the pid file: what is known of a daemon besides its pid. It is believed only while its
// pid owns the lock. Others may be able to put a file there, so that its owner decides what it is believed for.
import { closeSync, fstatSync, lstatSync, readFileSync, renameSync, unlinkSync, writeFileSync } from 'node:fs'
import { DaemonError, during, OptionError } from '../errors/classes.js'
import { isName } from '../options/values.js'
import type { ServiceUnit } from '../process/service-unit.js'
import { controlPath, statePath } from './paths.js'
import { openRegularFile, readAtMost } from './regular-file.js'

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
  /** The unit of a service manager that the daemon is; absent where it is none. */
  service?: ServiceUnit
  /** How launch() was called; absent where the program calls daemonize() itself. */
  launch?: LaunchRecord
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

/** What is known before there is a process; the core adds the pid and the addresses. */
export type Known = Omit<State, 'pid' | 'addresses'>

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
 * Reads the state of the daemon that runs as `pid`; null if the file is another daemon's, or can't be read. A file of the
 * daemon's own user is believed, too: what it says is shown, and never executed.
 */
export function readState(pidFile: string, pid: number | null): State | null {
  const found = find(pidFile)
  if (pid === null || found?.state.pid !== pid) return null
  return isOurs(found) || found.owner === userOf(pid, pidFile) ? found.state : null
}

/** Reads the last state that was written, of a daemon that may have exited, to show it; null if there is none. */
export function readLastState(pidFile: string): State | null {
  const found = find(pidFile)
  if (found === null) return null
  return isOurs(found) || found.owner === ownerOf(pidFile) ? found.state : null
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
    (found.launch === undefined ||
      (isObject(found.launch) && typeof found.launch.program === 'string' && isObject(found.launch.options)))
  )
}

/** A unit's name becomes a word of a command line, and must not be an option. */
function isUnit({ manager, unit, user }: Partial<ServiceUnit>): boolean {
  const isKnown = manager === 'systemd' || manager === 'launchd'
  return isKnown && typeof unit === 'string' && /^\w[\w:.@\\-]{0,254}$/.test(unit) && (user === undefined || user)
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every(each => typeof each === 'string')
}

function isOptionalText(value: unknown): boolean {
  return value === undefined || typeof value === 'string'
}
