// How a daemon is supervised: the `monitor` and `workers` options.
import { constants } from 'node:os'
import type { MonitorOptions, ProcessOptions } from '../option-types.js'
import { usableCpus } from './cpus.js'
import { MONITOR_OPTIONS, OPTIONS } from './table.js'
import { duration, entries, expected, oneOf, or, refuseUnknown, whole } from './values.js'

/** How the supervisor starts, watches and restarts workers. */
export interface Supervision {
  /** How many workers there are at the start. */
  workers: number
  /** Whether the number of workers may change: the `workers` option was given. */
  scalable: boolean
  restart: 'no' | 'on-abnormal' | 'on-failure' | 'always'
  /** The longest pause between two starts, in milliseconds. */
  maxDelay: number
  /** The length of a run that resets the pause and the count of failures, in milliseconds. */
  steadyAfter: number
  /** How long an event loop may stand still, in milliseconds; null for ever. */
  watchdog: number | null
  /** The failures in a row of one worker after which the supervisor gives up; null for never. */
  maxFailures: number | null
  /** How much memory a worker may have resident, in bytes; null for any. */
  maxMemory: number | null
  /** How long the first new worker of a reload has to serve before an old one is asked to stop, in milliseconds. */
  settle: number
  /** Whether a worker's process group ends with it. */
  killTree: boolean
  /** How a reload has new workers take over. */
  reload: 'auto' | 'roll-over' | 'restart'
  /** The number of the signal at which the program itself reloads; null: a reload replaces the workers. */
  reloadSignal: number | null
  /** Who a worker is until its call of daemonize(), where it is to have another user than the supervisor. */
  startAs: 'user' | 'root'
}

/** The highest number of workers: far more than any host starts at once, so that a typing error is noticed. */
const MOST_WORKERS = 1024
const RESTART = ['on-failure', 'on-abnormal', 'always', 'no'] as const

const RELOAD = ['auto', 'roll-over', 'restart'] as const

/** Validates the `monitor` and `workers` options; null where neither asks for a supervisor. @throws OptionError */
export function supervisionOf({
  monitor = OPTIONS.monitor.default,
  workers,
}: Pick<ProcessOptions, 'monitor' | 'workers'>): Supervision | null {
  if (monitor === false && workers === undefined) return null
  const given = typeof monitor === 'boolean' ? {} : (Object.fromEntries(entries('monitor', monitor)) as MonitorOptions)
  refuseUnknown('monitor', Object.keys(given), Object.keys(MONITOR_OPTIONS))
  const scalable = workers !== undefined
  const time = (key: 'maxDelay' | 'steadyAfter' | 'watchdog' | 'settle', value: unknown) =>
    duration(`monitor.${key}`, value)
  const count = (key: 'maxFailures' | 'maxMemory', value: unknown, most: number) =>
    value === undefined ? null : whole(`monitor.${key}`, value, 1, most)
  return {
    workers: numberOf(or(workers, OPTIONS.workers.default)),
    scalable,
    restart: oneOf('monitor.restart', or(given.restart, scalable ? 'always' : 'on-failure'), RESTART),
    maxDelay: time('maxDelay', or(given.maxDelay, MONITOR_OPTIONS.maxDelay.default)),
    steadyAfter: time('steadyAfter', or(given.steadyAfter, MONITOR_OPTIONS.steadyAfter.default)),
    watchdog: given.watchdog === undefined ? null : time('watchdog', given.watchdog),
    maxFailures: count('maxFailures', given.maxFailures, 2 ** 32 - 1),
    maxMemory: count('maxMemory', given.maxMemory, Number.MAX_SAFE_INTEGER),
    settle: given.settle === 0 ? 0 : time('settle', or(given.settle, MONITOR_OPTIONS.settle.default)),
    killTree: oneOf('monitor.killTree', or(given.killTree, MONITOR_OPTIONS.killTree.default), [true, false]),
    reload: oneOf('monitor.reload', or(given.reload, MONITOR_OPTIONS.reload.default), RELOAD),
    reloadSignal: given.reloadSignal === undefined ? null : reloadSignalOf(given.reloadSignal),
    startAs: oneOf('monitor.startAs', or(given.startAs, MONITOR_OPTIONS.startAs.default), ['user', 'root']),
  }
}

/** Rounds the times up to whole milliseconds, as the supervisor reads them. */
export function inWholeUnits(supervision: Supervision): Supervision {
  const { maxDelay, steadyAfter, watchdog, settle } = supervision
  return {
    ...supervision,
    maxDelay: Math.ceil(maxDelay),
    steadyAfter: Math.ceil(steadyAfter),
    watchdog: watchdog === null ? null : Math.ceil(watchdog),
    settle: Math.ceil(settle),
  }
}

/** @throws OptionError there is no such signal, or no program can reload at it */
function reloadSignalOf(value: unknown): number {
  const { SIGKILL: _, SIGSTOP: __, ...signals } = constants.signals
  return signals[oneOf('monitor.reloadSignal', value, Object.keys(signals) as (keyof typeof signals)[])]
}

function numberOf(workers: unknown): number {
  if (workers === 'cpus') return usableCpus()
  if (typeof workers === 'string') throw expected('workers', "a number or 'cpus'", workers, ['cpus'])
  return whole('workers', workers, 1, MOST_WORKERS, "or 'cpus'")
}
