// A daemonize() call in a program that is a daemon already, since launch() or the command started it: what was given there
// wins, then what the call gives, then the defaults.
import { isDeepStrictEqual } from 'node:util'
import type { Resources } from '#native'
import { done, native } from '../binding/addon.js'
import { during } from '../errors/classes.js'
import { normalise } from '../options/normalise.js'
import type { DaemonizeOptions } from '../types.js'
import { changeIdentity } from './change-identity.js'
import type { Given } from './note.js'
import type { RunningDaemon } from './running-daemon.js'

/** What only a start can do, and this process was started otherwise. */
const DECIDED_AT_START = [
  'instance',
  'stdin',
  'log',
  'stdout',
  'stderr',
  'preserve',
  'pidFile',
  'startTimeout',
] as const satisfies readonly (keyof DaemonizeOptions)[]

/** @throws OptionError also for options that were overridden */
export function adopt(daemon: RunningDaemon, options: DaemonizeOptions, given: Given): void {
  const isGiven = (key: keyof DaemonizeOptions) => given.keys.includes(key)
  const { name, instance } = given.options
  const wanted = normalise({ ...options, ...(isGiven('name') && { name }), instance }, true)
  const calls = (...keys: (keyof DaemonizeOptions)[]) => keys.some(key => options[key] !== undefined && !isGiven(key))
  // One identity: a part of it from here and a part from there would be nobody's wish.
  const hasIdentity = IDENTITY.some(isGiven)
  const isNew = (name: string) => !(name in daemon.sockets)
  const listen = wanted.listen.filter(({ name }) => isNew(name))

  const called = Object.entries(wanted.resources).filter(([key]) =>
    calls(key as keyof Resources & keyof DaemonizeOptions),
  )
  done(native.applyResources({ limits: [], ...Object.fromEntries(called) }))
  if (calls('env')) for (const { name, value } of wanted.environment) setVariable(name, value)
  const sockets = daemon.bind(listen)
  if (!hasIdentity && calls(...IDENTITY)) changeIdentity(wanted, daemon.parent)
  const { chdir, umask } = wanted
  if (calls('chdir') && chdir !== false) during('chdir', chdir, () => process.chdir(chdir))
  if (calls('umask') && umask !== false) process.umask(umask)
  // What the call wants wins over the default, not over what was given.
  const supervises = !SUPERVISION.some(isGiven) && daemon.supervise(wanted.supervision)
  daemon.adopt({
    sockets,
    ...(calls('name') && { name: wanted.name }),
    ...(calls('stopTimeout') && { stopTimeout: wanted.stopTimeout }),
    ...(calls('idleTimeout') && { idleTimeout: wanted.idleTimeout }),
    ...(!isGiven('ready') && { ready: wanted.ready }),
    signals: [...wanted.signals].filter(([signal]) => wanted.givenSignals.has(signal)),
  })
  const decided = [...DECIDED_AT_START, ...(hasIdentity ? IDENTITY : []), ...(supervises ? [] : SUPERVISION)]
  const overridden = overriddenOf(options, given, new Set(decided)).filter(
    key => key !== 'pidFile' || wanted.pidFile?.path !== daemon.pidFile?.path,
  )
  if (overridden.length > 0) {
    daemon.log('info', `started from outside: what daemonize() was given for ${overridden.join(', ')} is overridden`)
  }
}

const IDENTITY = ['chroot', 'user', 'group', 'groups'] as const
const SUPERVISION = ['monitor', 'workers'] as const

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

function setVariable(name: string, value: string | undefined): void {
  if (value === undefined) delete process.env[name]
  else process.env[name] = value
}
