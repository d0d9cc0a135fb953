// When a daemon counts as ready: the `ready` option.
import { OptionError } from '../errors/classes.js'
import { oneOf, whole } from './values.js'

/** What makes a daemon ready. Only a supervisor sees 'port' and 'fd=N': launch() and the command have them. */
export type Readiness = 'auto' | 'loaded' | 'manual' | 'port' | `fd=${number}`

/** The highest number for `fd=N`: every process may have as many descriptors. */
const HIGHEST_DESCRIPTOR = 255

/** Validates the `ready` option of daemonize(). @throws OptionError */
export function normaliseReadiness(value: unknown): Readiness {
  return oneOf('ready', value, ['auto', 'loaded', 'manual'])
}

/**
 * Validates the `ready` option of launch(). `lowest` is the first descriptor that `fd=N` may name, and `isTaken` tells of one
 * that the program gets otherwise.
 * @throws OptionError
 */
export function normaliseLaunchReadiness(value: unknown, lowest: number, isTaken: (fd: number) => boolean): Readiness {
  const [, number] = typeof value === 'string' ? (/^fd=(\d+)$/.exec(value) ?? []) : []
  if (number === undefined) return oneOf('ready', value, ['auto', 'loaded', 'manual', 'port'])
  const fd = whole('ready', Number(number), lowest, HIGHEST_DESCRIPTOR)
  if (!isTaken(fd)) return `fd=${fd}`
  throw new OptionError(
    'ready',
    `The \`ready\` option names descriptor ${fd}, which \`listen\` or \`preserve\` will have`,
  )
}
