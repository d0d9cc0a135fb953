// What there is to know of a daemon from outside.
import { readFileSync } from 'node:fs'
import { basename, resolve } from 'node:path'
import { native } from './native.js'
import { targetPath } from './paths.js'
import { type PidFileState, PidLock } from './pid-lock.js'
import { readState, STOP_TIMEOUT } from './state.js'

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
}

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
  const worker =
    pid !== null && usage
      ? [{ pid, ready: report.state === 'running', uptime: usage.uptime, rss: usage.rss, cpuTime: usage.cpu }]
      : []
  return {
    ...report,
    name,
    instance: state?.instance ?? null,
    version: state?.release ?? null,
    uptime: usage?.uptime ?? null,
    statusText: pid === null ? null : statusText(pid, name),
    addresses: state?.addresses ?? {},
    logs: state?.logs ?? [],
    stopTimeout: state?.stopTimeout ?? STOP_TIMEOUT,
    workers: worker,
  }
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
