// How much the library tells besides what it always does: the variable DAEMONIC_LOG, which -v, -vv and -vvv set.
import type { EnvironmentChange } from '#native'

/** The values of the variable; each adds to those before it. */
export const DETAILS = ['info', 'debug', 'trace'] as const
export type Detail = (typeof DETAILS)[number]

export const VARIABLE = 'DAEMONIC_LOG'

/** Gives the value for this many -v; undefined for none. */
export function detailFor(flags: number): Detail | undefined {
  return DETAILS[Math.min(flags, DETAILS.length) - 1]
}

/** Whether the environment, after these changes to it, asks for what is told at this level. */
export function isTold(detail: Detail, changes: readonly EnvironmentChange[] = []): boolean {
  const change = changes.findLast(({ name }) => name === VARIABLE)
  const level = change ? change.value : process.env[VARIABLE]
  return DETAILS.indexOf(level as Detail) >= DETAILS.indexOf(detail)
}
