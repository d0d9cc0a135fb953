// Asking about a daemon from outside: its pid file, its state file, its supervisor.
import { closeSync, openSync, readSync } from 'node:fs'
import { basename, resolve } from 'node:path'
import type { ProcessUsage } from '#native'
import { native } from './binding/addon.js'
import { DaemonError } from './errors/classes.js'
import { OPTIONS } from './options/table.js'
import { type PidFileState, PidLock } from './pid-lock.js'
import { askSupervisor, type SupervisorStatus } from './running/control-socket.js'
import { targetPath } from './running/paths.js'
import { readState } from './running/state-file.js'

/** What status() found out about a daemon. */
export interface DaemonStatus extends PidFileState {
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
  const state = readState(path, pid)
  const usage = pid === null ? null : native.processUsage(pid)
  const name = state?.name ?? basename(path).replace(/\.pid$/, '')
  const supervisor = pid === null ? null : await supervisorStatus(path)
  return {
    ...report,
    name,
    instance: state?.instance ?? null,
    version: state?.release ?? null,
    uptime: usage?.uptime ?? null,
    statusText: supervisor ? statusOfWorkers(supervisor) : (state?.statusText ?? statusText(pid, state?.title ?? name)),
    addresses: { ...state?.addresses, ...supervisor?.addresses },
    logs: state?.logs ?? [],
    stopTimeout: state?.stopTimeout ?? OPTIONS.stopTimeout.default,
    workers: supervisor?.workers.map(workerOf) ?? onlyWorker(report, usage),
  }
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
function onlyWorker({ pid, state }: PidFileState, usage: ProcessUsage | null): WorkerStatus[] {
  if (pid === null || usage === null) return []
  const { uptime, rss, cpu } = usage
  return [{ pid, ready: state === 'running', uptime, rss, cpuTime: cpu, restarts: 0, lastExit: null }]
}

/** The longest title that is read, in bytes: a process can make its command line as long as it likes. */
const LONGEST_TITLE = 4_096

/** Reads the status text from the process title, `TITLE: TEXT`. */
function statusText(pid: number | null, ownTitle: string): string | null {
  if (pid === null) return null
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
