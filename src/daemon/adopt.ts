// A daemonize() call in a program that is a daemon already, since launch() or the command started it: what was given there
// wins, then what the call gives, then the defaults.
import { isDeepStrictEqual } from 'node:util'
import type { DaemonizeOptions } from '../option-types.js'
import { normalise } from '../options/normalise.js'
import { only } from '../options/resources.js'
import { decidedBy } from '../options/table.js'
import { recordInState, type StateChange } from '../running/state-file.js'
import { ASKED_BY, apply, changesOf } from './apply.js'
import type { Given } from './note.js'
import type { RunningDaemon } from './running-daemon.js'

const IDENTITY = decidedBy('identity')
const NO_IDENTITY = Object.fromEntries(IDENTITY.map(name => [name, undefined]))
const SUPERVISION = decidedBy('supervision')

/**
 * Makes the running daemon what the call's options ask for, as far as whoever started it left that open, and logs what
 * was overridden.
 * @throws OptionError an option is wrong, be it overridden or not; an overridden identity is not looked at
 * @throws SystemCallError a change is refused
 */
export function adopt(daemon: RunningDaemon, options: DaemonizeOptions, given: Given): void {
  const isGiven = (key: keyof DaemonizeOptions) => given.keys.includes(key)
  const { name, instance } = given.options
  // An identity is taken whole: a user from the start with a group from the call is what neither asked for. The call's
  // is not looked at then: this process may have given up the rights, and left the user database behind.
  const hasIdentity = IDENTITY.some(isGiven)
  const heeded = hasIdentity ? { ...options, ...NO_IDENTITY } : options
  const wanted = normalise({ ...heeded, ...(isGiven('name') && { name }), instance }, true)
  const calls = (...keys: (keyof DaemonizeOptions)[]) => keys.some(key => heeded[key] !== undefined && !isGiven(key))
  const isNew = (name: string) => !(name in daemon.sockets)
  const listen = wanted.listen.filter(({ name }) => isNew(name))
  // The variables of the call's user do not replace those that the start gave.
  const isAsked = (change: keyof typeof ASKED_BY) =>
    calls(...ASKED_BY[change]) && !(change === 'environment' && isGiven('env'))

  // Before the wishes: further workers, which these may ask for, have the sockets then.
  const sockets = daemon.bind(listen)
  const { resources, ...others } = changesOf(wanted)
  const asked = only(resources, name => calls(name))
  // What the call wants wins over the default, not over what was given. A supervisor heeds it as long as this process has
  // not given up its rights: before `apply`.
  const becomes = calls(...IDENTITY) && Object.keys(wanted.identity.change).length > 0
  const supervises = !SUPERVISION.some(isGiven) && daemon.isSupervised
  daemon.request({
    ...(becomes && { identity: wanted.identity.change, resources: asked }),
    ...(supervises && wanted.supervision && { supervision: wanted.supervision }),
    ...(calls('stopTimeout') && { stopTimeout: Math.ceil(wanted.stopTimeout) }),
    ...(calls('idleTimeout') && { endsIdle: wanted.idleTimeout !== null }),
  })
  record(daemon, {
    ...(calls('stopTimeout') && { stopTimeout: wanted.stopTimeout }),
    ...(listen.length > 0 && { addresses: addressesOf({ ...daemon.sockets, ...sockets }) }),
  })
  const changes = Object.entries(others).filter(([change]) => isAsked(change as keyof typeof ASKED_BY))
  apply({ ...Object.fromEntries(changes), resources: asked }, daemon.parent)
  daemon.adopt({
    sockets,
    listen,
    ...(calls('name') && { name: wanted.name }),
    ...(calls('name', 'title') && !isGiven('title') && { title: wanted.title }),
    ...(calls('stopTimeout') && { stopTimeout: wanted.stopTimeout }),
    ...(calls('drainTimeout') && { drainTimeout: wanted.drainTimeout }),
    ...(calls('idleTimeout') && { idleTimeout: wanted.idleTimeout }),
    ...(!isGiven('ready') && { ready: wanted.ready }),
    signals: [...wanted.signals].filter(([signal]) => wanted.givenSignals.has(signal)),
  })
  const decided = [...decidedBy('start'), ...(hasIdentity ? IDENTITY : []), ...(supervises ? [] : SUPERVISION)]
  const overridden = overriddenOf(options, given, new Set(decided)).filter(
    key => key !== 'pidFile' || wanted.pidFile?.path !== daemon.pidFile?.path,
  )
  if (typeof options.detach === 'boolean' && options.detach !== daemon.detached) overridden.push('detach')
  if (overridden.length > 0) {
    daemon.log('info', `started from outside: what daemonize() was given for ${overridden.join(', ')} is overridden`)
  }
}

/** Writes into the state file what clients of a daemon without a supervisor need; a supervisor tells them itself. */
function record({ pidFile }: RunningDaemon, change: StateChange): void {
  if (pidFile && Object.keys(change).length > 0) recordInState(pidFile.path, change)
}

function addressesOf(sockets: RunningDaemon['sockets']): Record<string, string> {
  return Object.fromEntries(Object.entries(sockets).map(([name, { address }]) => [name, address]))
}

/** Lists the options of the call that had no effect, since the start gave or decided something else. */
function overriddenOf(options: DaemonizeOptions, given: Given, decided: ReadonlySet<string>): string[] {
  const plain = given.options as Record<string, unknown>
  return Object.entries(options).flatMap(([key, value]) => {
    if (value === undefined || key === 'detach') return []
    if (key === 'listen')
      return Object.keys(value)
        .filter(name => name in (given.options.listen ?? {}))
        .map(name => `listen.${name}`)
    const isSame = given.keys.includes(key) && isDeepStrictEqual(plain[key], value)
    return !isSame && (decided.has(key) || given.keys.includes(key)) ? [key] : []
  })
}
