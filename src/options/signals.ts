// What catches which signal: the `signals` option.
import { constants } from 'node:os'
import { OptionError } from '../errors/classes.js'
import type { SignalAction } from '../option-types.js'
import { OPTIONS } from './table.js'
import { entries, oneOf, refuseUnknown } from './values.js'

/** What the daemon does at which signal. */
export interface Signals {
  signals: Map<NodeJS.Signals, SignalAction>
  /** The signals that the caller named. */
  givenSignals: ReadonlySet<string>
}

const ACTIONS = ['ignore', 'default', 'stop', 'reload', 'reload-hooks', 'reopen-logs'] as const
/** KILL and STOP can't be caught; CHLD is how libuv learns that child processes have exited. */
const UNMAPPABLE = new Set(['SIGKILL', 'SIGSTOP', 'SIGCHLD'])

/** Validates the `signals` option, and adds the defaults. @throws OptionError */
export function normaliseSignals(signals: unknown): Signals {
  const given = new Map(entries('signals', signals))
  refuseUnknown('signals', [...given.keys()], Object.keys(constants.signals))
  const actions = new Map(Object.entries(OPTIONS.signals.default))
  for (const [name, action] of given) {
    const option = `signals.${name}`
    if (UNMAPPABLE.has(name))
      throw new OptionError(option, `The \`${option}\` option can't be set: ${name} can't be mapped`)
    actions.set(name, typeof action === 'function' ? (action as SignalAction) : oneOf(option, action, ACTIONS))
  }
  return { signals: actions as Signals['signals'], givenSignals: new Set(given.keys()) }
}
