// What there is to know of a daemon from outside.
import { readFileSync } from 'node:fs'
import { basename, resolve } from 'node:path'
import type { ProcessUsage } from '#native'
import { native } from './binding/addon.js'
import { DaemonError } from './errors/classes.js'
import { STOP_TIMEOUT } from './options/settings.js'
import { type PidFileState, PidLock } from './pid-lock.js'
import { askSupervisor, type SupervisorStatus } from './running/control-socket.js'
import { targetPath } from './running/paths.js'
import { readState } from './running/state-file.js'

export interface DaemonStatus extends PidFileState {
  readonly name: string
  /** What it is for, of several of one name: the `instance` option. */
  readonly instance: string | null
  /** The program's, as launch() was told. */
  readonly version: string | null
  /** Milliseconds. */
  readonly uptime: number | null
  /** What the daemon last said by status(). */
  readonly statusText: string | null
  readonly addresses: Readonly<Record<string, string>>
  readonly logs: readonly string[]
  /** Milliseconds. */
  readonly stopTimeout: number
  /** Its processes: one where there is no supervisor. */
  readonly workers: readonly WorkerStatus[]
}

export interface WorkerStatus {
  readonly pid: number
  readonly ready: boolean
  /** Milliseconds. */
  readonly uptime: number
  /** Resident memory, bytes. */
  readonly rss: number
  /** User and system, milliseconds. */
  readonly cpuTime: number
  /** How often its place was filled again. */
  readonly restarts: number
  /** How the one before it ended, with the last line of its stderr. */
  readonly lastExit: string | null
}

/** Milliseconds: a supervisor that doesn't answer must not keep an operator from the rest. */
const PATIENCE = 2_000

/**
 * The state of a daemon; of one that doesn't run too. `target`: a name in the run directory or, with a slash, a pid
 * file. Changes nothing.
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
    statusText: supervisor ? statusOfWorkers(supervisor) : pid === null ? null : statusText(pid, name),
    addresses: { ...state?.addresses, ...supervisor?.addresses },
    logs: state?.logs ?? [],
    stopTimeout: state?.stopTimeout ?? STOP_TIMEOUT,
    workers: supervisor?.workers.map(workerOf) ?? itself(report, usage),
  }
}

/** Null where there is none, or none that tells us. */
async function supervisorStatus(path: string): Promise<SupervisorStatus | null> {
  try {
    return (await askSupervisor(path, { do: 'status' }, 'ERR_DAEMON_STATUS', PATIENCE)) as SupervisorStatus | null
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

/** A daemon without a supervisor is its only worker. */
function itself({ pid, state }: PidFileState, usage: ProcessUsage | null): WorkerStatus[] {
  if (pid === null || usage === null) return []
  const { uptime, rss, cpu } = usage
  return [{ pid, ready: state === 'running', uptime, rss, cpuTime: cpu, restarts: 0, lastExit: null }]
}

/** The process title is `NAME: TEXT`. */
function statusText(pid: number, name: string): string | null {
  try {
    const [title = ''] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
    return title.startsWith(`${name}: `) ? title.slice(name.length + 2) : null
  } catch {
    return null // ended, or another user's under hidepid
  }
}
