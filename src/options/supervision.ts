// How a daemon is supervised: the `monitor` and `workers` options.

import type { MonitorOptions, ProcessOptions } from '../types.js'
import { usableCpus } from './cpus.js'
import { duration, entries, expected, oneOf, or, refuseUnknown, whole } from './values.js'

export interface Supervision {
  /** How many at the start. */
  workers: number
  /** Whether their number may change: there is a `workers` option. */
  scalable: boolean
  restart: 'no' | 'on-abnormal' | 'on-failure' | 'always'
  /** Milliseconds. */
  maxDelay: number
  steadyAfter: number
  watchdog: number | null
  maxFailures: number | null
  /** Bytes. */
  maxMemory: number | null
  killTree: boolean
}

/** Far more than any host starts at once; a typing error is noticed. */
const MOST_WORKERS = 1024
const MAX_DELAY = 10_000
const STEADY_AFTER = 10_000
const RESTART = ['on-failure', 'on-abnormal', 'always', 'no'] as const
const OPTIONS = [
  'restart',
  'maxDelay',
  'steadyAfter',
  'maxFailures',
  'watchdog',
  'maxMemory',
  'killTree',
] as const satisfies readonly (keyof MonitorOptions)[]

/** Null where no supervisor is asked for. */
export function supervisionOf({
  monitor = false,
  workers,
}: Pick<ProcessOptions, 'monitor' | 'workers'>): Supervision | null {
  if (monitor === false && workers === undefined) return null
  const given = typeof monitor === 'boolean' ? {} : (Object.fromEntries(entries('monitor', monitor)) as MonitorOptions)
  refuseUnknown('monitor', Object.keys(given), OPTIONS)
  const scalable = workers !== undefined
  const time = (key: 'maxDelay' | 'steadyAfter' | 'watchdog', value: unknown) => duration(`monitor.${key}`, value)
  const count = (key: 'maxFailures' | 'maxMemory', value: unknown, most: number) =>
    value === undefined ? null : whole(`monitor.${key}`, value, 1, most)
  return {
    workers: numberOf(workers),
    scalable,
    restart: oneOf('monitor.restart', or(given.restart, scalable ? 'always' : 'on-failure'), RESTART),
    maxDelay: time('maxDelay', or(given.maxDelay, MAX_DELAY)),
    steadyAfter: time('steadyAfter', or(given.steadyAfter, STEADY_AFTER)),
    watchdog: given.watchdog === undefined ? null : time('watchdog', given.watchdog),
    maxFailures: count('maxFailures', given.maxFailures, 2 ** 32 - 1),
    maxMemory: count('maxMemory', given.maxMemory, Number.MAX_SAFE_INTEGER),
    killTree: oneOf('monitor.killTree', or(given.killTree, false), [true, false]),
  }
}

/** As the supervisor reads them. */
export function inWholeUnits(supervision: Supervision): Supervision {
  const { maxDelay, steadyAfter, watchdog } = supervision
  return {
    ...supervision,
    maxDelay: Math.ceil(maxDelay),
    steadyAfter: Math.ceil(steadyAfter),
    watchdog: watchdog === null ? null : Math.ceil(watchdog),
  }
}

function numberOf(workers: unknown): number {
  if (workers === undefined) return 1
  if (workers === 'cpus') return usableCpus()
  if (typeof workers === 'string') throw expected('workers', "a number or 'cpus'", workers, ['cpus'])
  return whole('workers', workers, 1, MOST_WORKERS, "or 'cpus'")
}
