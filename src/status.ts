// Asking about a daemon from outside: its pid file, its state file, its supervisor.
import { closeSync, openSync, readSync } from 'node:fs'
import { basename, resolve } from 'node:path'
import type { ProcessUsage } from '#native'
import { native } from './binding/addon.js'
import { DaemonError } from './errors/classes.js'
import { OPTIONS } from './options/table.js'
import { type PidFileState, PidLock } from './pid-lock.js'
import { isOfThisBoot } from './running/boot.js'
import { askSupervisor, type SupervisorStatus } from './running/control-socket.js'
import { targetPath } from './running/paths.js'
import { type FailureRecord, readFailure, readLastState, readState, type State } from './running/state-file.js'

/**
 * What a daemon is doing.
 * - `starting`: not ready yet. `running`: ready.
 * - `failing`: its supervisor restarts a worker again and again, or waits before it does.
 * - `ending`: it was asked to stop, or exits.
 * - `failed`: it has failed for good after it was ready; known until it is started again, or its files are removed.
 * - `dead`: it was killed, and left its pid file. `stopped`: it doesn't run, and left nothing, or was left by a shutdown.
 */
export type DaemonState = 'starting' | 'running' | 'failing' | 'ending' | 'failed' | 'dead' | 'stopped'

/** What status() found out about a daemon. */
export interface DaemonStatus extends Omit<PidFileState, 'state'> {
  readonly state: DaemonState
  readonly name: string
  /** The `instance` option, which tells daemons of one name apart. */
  readonly instance: string | null
  /** The program's version: the `version` option of launch(). */
  readonly version: string | null
  /** The time since the start, in milliseconds. */
  readonly uptime: number | null
  /** The text that the daemon last gave to `daemon.setStatus()`. */
  readonly statusText: string | null
  /** The addresses of its sockets by name: HOST:PORT, or a Unix socket's path. */
  readonly addresses: Readonly<Record<string, string>>
  /** The paths of its logs. */
  readonly logs: readonly string[]
  /** How long it may take to stop, in milliseconds. */
  readonly stopTimeout: number
  /** The worker processes. A daemon without a supervisor is its only worker. */
  readonly workers: readonly WorkerStatus[]
  /** How many workers there are to be, or were to be before it failed; null if it doesn't run. */
  readonly wantedWorkers: number | null
  /** How often its supervisor has restarted workers. */
  readonly restarts: number
  /** What goes or went wrong, while it is `failing` or `failed`; else null. */
  readonly failure: DaemonFailure | null
}

/** What a daemon fails of. */
export interface DaemonFailure {
  /** How the last process exited, with the last line of its stderr. */
  readonly lastExit: string | null
  /** How many failures there were in a row. */
  readonly failures: number
  /** Until the next worker is started, in milliseconds; null if it has been, or none will be. */
  readonly restartIn: number | null
  /** The daemon's exit code, 128 + N for signal N; null while it is failing. */
  readonly exitCode: number | null
  /** When the daemon failed for good, in milliseconds since the epoch; null while it is failing. */
  readonly failedAt: number | null
}

/** A process of a daemon's program. */
export interface WorkerStatus {
  readonly pid: number
  readonly ready: boolean
  /** The time since it was started, in milliseconds. */
  readonly uptime: number
  /** Resident memory, in bytes. */
  readonly rss: number
  /** CPU time, user and system, in milliseconds. */
  readonly cpuTime: number
  /** How often the supervisor has restarted this worker. */
  readonly restarts: number
  /** How its predecessor ended, with the last line of that one's stderr; null for the first. */
  readonly lastExit: string | null
}

/** How long a supervisor may take to answer, in milliseconds: one that hangs must not keep an operator from the rest. */
const ANSWER_TIMEOUT = 2_000

/**
 * Tells the state of a daemon, running or not, and changes nothing. `target` is a name in the run directory or, with a
 * slash, a pid file.
 * @throws SystemCallError the pid file can't be read, or isn't one to be trusted
 */
export async function status(target: string): Promise<DaemonStatus> {
  const path = resolve(targetPath(target))
  const report = PidLock.inspect(path)
  const isLocked = report.state === 'running' || report.state === 'starting'
  const pid = isLocked ? report.pid : null
  const state = isLocked ? readState(path, pid) : readLastState(path)
  const usage = pid === null ? null : native.processUsage(pid)
  const name = state?.name ?? basename(path).replace(/\.pid$/, '')
  const supervisor = pid === null ? null : await supervisorStatus(path)
  const record = isLocked ? null : readFailure(path)
  const { slots = record?.workers, restarts = record?.restarts ?? 0, failing = null } = supervisor ?? {}
  return {
    ...report,
    state: isLocked ? stateOfRunning(path, report, supervisor) : stateOfStopped(report, state, record),
    name,
    instance: state?.instance ?? null,
    version: state?.release ?? null,
    uptime: usage?.uptime ?? null,
    statusText: supervisor ? statusOfWorkers(supervisor) : ownStatus(pid, state, name),
    addresses: isLocked ? { ...state?.addresses, ...supervisor?.addresses } : {},
    logs: state?.logs ?? [],
    stopTimeout: state?.stopTimeout ?? OPTIONS.stopTimeout.default,
    workers: supervisor?.workers.map(workerOf) ?? onlyWorker(pid, report, usage),
    wantedWorkers: slots ?? (isLocked ? 1 : null),
    restarts,
    failure: failing ? { ...failing, exitCode: null, failedAt: null } : record && failureOf(record),
  }
}

function stateOfRunning(path: string, { state }: PidFileState, supervisor: SupervisorStatus | null): DaemonState {
  if (supervisor ? supervisor.phase === 'stopping' : native.isEnding(path)) return 'ending'
  if (supervisor?.failing) return 'failing'
  return state === 'starting' ? 'starting' : 'running'
}

function stateOfStopped({ pid }: PidFileState, last: State | null, record: FailureRecord | null): DaemonState {
  if (record !== null) return 'failed'
  return pid === null || (last !== null && !isOfThisBoot(last)) ? 'stopped' : 'dead'
}

function failureOf({ lastExit, failures, exitCode, at }: FailureRecord): DaemonFailure {
  return { lastExit, failures, restartIn: null, exitCode, failedAt: at }
}

/** Asks the supervisor; null if the daemon has none, or it doesn't answer this user. */
async function supervisorStatus(path: string): Promise<SupervisorStatus | null> {
  try {
    return (await askSupervisor(path, { do: 'status' }, 'ERR_DAEMON_STATUS', ANSWER_TIMEOUT)) as SupervisorStatus | null
  } catch (error) {
    if (error instanceof DaemonError) return null // another user's, or one that hangs
    throw error
  }
}

function statusOfWorkers({ workers }: SupervisorStatus): string | null {
  return workers.find(({ statusText, retiring }) => statusText !== null && !retiring)?.statusText ?? null
}

function workerOf({
  pid,
  ready,
  uptime,
  rss,
  cpuTime,
  restarts,
  lastExit,
}: SupervisorStatus['workers'][number]): WorkerStatus {
  return { pid, ready, uptime, rss, cpuTime, restarts, lastExit }
}

/** Describes a daemon without a supervisor as its only worker. */
function onlyWorker(pid: number | null, { state }: PidFileState, usage: ProcessUsage | null): WorkerStatus[] {
  if (pid === null || usage === null) return []
  const { uptime, rss, cpu } = usage
  return [{ pid, ready: state === 'running', uptime, rss, cpuTime: cpu, restarts: 0, lastExit: null }]
}

/** The longest title that is read, in bytes: a process can make its command line as long as it likes. */
const LONGEST_TITLE = 4_096

/** Gives the text that a daemon without a supervisor last said. */
function ownStatus(pid: number | null, state: State | null, name: string): string | null {
  return pid === null ? null : (state?.statusText ?? titleStatus(pid, state?.title ?? name))
}

/** Reads the status text from the process title, `TITLE: TEXT`. */
function titleStatus(pid: number, ownTitle: string): string | null {
  try {
    const room = Buffer.alloc(LONGEST_TITLE)
    const fd = openSync(`/proc/${pid}/cmdline`, 'r')
    const length = readSync(fd, room, 0, LONGEST_TITLE, 0)
    closeSync(fd)
    const [title = ''] = room.toString('utf8', 0, length).split('\0')
    return title.startsWith(`${ownTitle}: `) ? title.slice(ownTitle.length + 2) : null
  } catch {
    return null // the process has exited, or is another user's under hidepid
  }
}
