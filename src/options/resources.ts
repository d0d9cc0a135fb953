// What the process may use, and how it ranks among others: resource limits, priorities, new privileges.
import type { IoPriority, LimitPlan, Resources } from '#native'
import { native } from '../binding/addon.js'
import type { DaemonizeOptions } from '../option-types.js'
import { OPTIONS } from './table.js'
import { entries, expected, oneOf, or, refuseUnknown, whole } from './values.js'

/** Validates the options of limits and priorities. @throws OptionError */
export function normaliseResources({
  limits,
  nice,
  ioPriority,
  oomScoreAdjust,
  noNewPrivileges,
}: Pick<DaemonizeOptions, keyof Resources>): Resources {
  return {
    limits: limitPlans(limits),
    ...(nice !== undefined && { nice: whole('nice', nice, -20, 19) }),
    ...(ioPriority !== undefined && { ioPriority: ioPriorityPlan(ioPriority) }),
    ...(oomScoreAdjust !== undefined && { oomScoreAdjust: whole('oomScoreAdjust', oomScoreAdjust, -1000, 1000) }),
    noNewPrivileges: oneOf('noNewPrivileges', or(noNewPrivileges, OPTIONS.noNewPrivileges.default), [true, false]),
  }
}

function ioPriorityPlan(value: unknown): IoPriority {
  if (value === 'idle') return { class: 'idle' }
  const [, name, level] = typeof value === 'string' ? (/^(best-effort|realtime):([0-7])$/.exec(value) ?? []) : []
  if (name === undefined)
    throw expected('ioPriority', "'idle', 'best-effort:N' or 'realtime:N' with N from 0 to 7", value)
  return { class: name as IoPriority['class'], level: Number(level) }
}

/** Resources that change nothing. */
export const NO_RESOURCES: Resources = { limits: [], noNewPrivileges: false }

/** The resources of which `isWanted` says so, each by the name of its option. */
export function only(resources: Resources, isWanted: (option: keyof Resources) => boolean): Resources {
  const wanted = Object.entries(resources).filter(([option]) => isWanted(option as keyof Resources))
  return { ...NO_RESOURCES, ...Object.fromEntries(wanted) }
}

function limitPlans(limits: unknown): LimitPlan[] {
  const given = Object.fromEntries(entries('limits', limits))
  refuseUnknown('limits', Object.keys(given), native.knownLimits())
  const all = { ...OPTIONS.limits.default, ...given }
  return Object.entries(all).map(([resource, limit]) => limitPlan(resource, limit))
}

function limitPlan(resource: string, limit: unknown): LimitPlan {
  const option = `limits.${resource}`
  const value = (key: string, given: unknown) =>
    given === 'unlimited' ? undefined : whole(key, given, 0, Number.MAX_SAFE_INTEGER, "or 'unlimited'")
  let soft: number | undefined
  let hard: number | undefined
  if (typeof limit === 'object' && limit !== null) {
    refuseUnknown(option, Object.keys(limit), ['soft', 'hard'])
    const both = limit as { soft?: unknown; hard?: unknown }
    soft = value(`${option}.soft`, both.soft)
    hard = value(`${option}.hard`, both.hard)
  } else {
    soft = hard = value(option, limit)
  }
  if ((soft ?? Infinity) > (hard ?? Infinity)) throw expected(option, 'a soft limit not above the hard one', limit)
  return { resource, ...(soft !== undefined && { soft }), ...(hard !== undefined && { hard }) }
}
