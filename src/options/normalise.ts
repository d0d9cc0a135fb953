// Options, validated and completed once: what the rest of the code gets has every default filled in.
import { resolve } from 'node:path'
import { OptionError } from '../errors/classes.js'
import type { DaemonizeOptions } from '../option-types.js'
import { targetOf } from '../running/paths.js'
import { normaliseEnvironment } from './environment.js'
import { normaliseIdentity } from './identity.js'
import { listenPlan } from './listen.js'
import { normaliseName } from './name.js'
import { normalisePidFile } from './pid-file.js'
import { FIRST_SOCKET, normalisePreserve } from './preserve.js'
import { normaliseLaunchReadiness, normaliseReadiness, type Readiness } from './readiness.js'
import { normaliseResources } from './resources.js'
import type { Settings } from './settings.js'
import { normaliseSignals } from './signals.js'
import { normaliseStreams, streamsAlreadySet } from './streams.js'
import { supervisionOf } from './supervision.js'
import { DAEMONIZE_OPTIONS, OPTIONS } from './table.js'
import { duration, entries, expected, mode, oneOf, or, refuseUnknown, show, text } from './values.js'

/**
 * Validates the options, and fills in what is not given.
 * `isDaemon` is true inside the daemon, whose standard streams and descriptors the launcher has already set up; `isLaunched`
 * where the options are those of launch(), which has more ways to be ready.
 * @throws OptionError
 */
export function normalise(
  options: Omit<DaemonizeOptions, 'ready'> & { ready?: Readiness | undefined } = {},
  isDaemon = false,
  isLaunched = false,
): Settings {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw new OptionError('options', `Expected the options to be an object, got ${show(options)}`)
  }
  refuseUnknown('', Object.keys(options), DAEMONIZE_OPTIONS)
  const name = normaliseName(options.name)
  const instance = options.instance === undefined ? null : text('instance', options.instance, 'a string')
  const fileName = targetOf(name, instance)
  const identity = normaliseIdentity(options)
  const listen = entries('listen', options.listen).map(([key, target]) => listenPlan(key, target, fileName))
  const preserve = isDaemon ? [] : normalisePreserve(options.preserve, listen.length, options.chroot !== undefined)
  const isTaken = (fd: number) => fd < FIRST_SOCKET + listen.length || preserve.includes(fd)
  const stopTimeout = duration('stopTimeout', or(options.stopTimeout, OPTIONS.stopTimeout.default))
  const ready = or(options.ready, OPTIONS.ready.default)
  return {
    name,
    title: options.title === undefined ? name : text('title', options.title, 'a string'),
    instance,
    version: null,
    identity,
    detach: oneOf('detach', or(options.detach, OPTIONS.detach.default), [true, false, 'auto']),
    chdir: directory(or(options.chdir, OPTIONS.chdir.default), options.chroot === undefined ? '.' : '/'),
    umask: options.umask === false ? false : mode('umask', or(options.umask, OPTIONS.umask.default), 0o777),
    ...(isDaemon ? streamsAlreadySet() : normaliseStreams(options, fileName)),
    listen,
    preserve,
    resources: normaliseResources(options),
    ...normaliseSignals(options.signals),
    environment: normaliseEnvironment(identity.environment, options.env),
    pidFile: normalisePidFile(options.pidFile, name, instance),
    ready: isLaunched ? normaliseLaunchReadiness(ready, FIRST_SOCKET, isTaken) : normaliseReadiness(ready),
    startTimeout: duration('startTimeout', or(options.startTimeout, OPTIONS.startTimeout.default)),
    stopTimeout,
    drainTimeout: drainTimeoutOf(options.drainTimeout, stopTimeout),
    idleTimeout: options.idleTimeout === undefined ? null : duration('idleTimeout', options.idleTimeout),
    supervision: supervisionOf(options),
  }
}

/** The time for draining, null for the default share; the hooks need some of `stopTimeout`, too. */
function drainTimeoutOf(value: unknown, stopTimeout: number): number | null {
  if (value === undefined) return null
  const timeout = duration('drainTimeout', value)
  if (timeout < stopTimeout) return timeout
  throw expected('drainTimeout', `milliseconds below \`stopTimeout\`, which is ${stopTimeout}`, value)
}

/** The directory to work in; `base` is where a relative one starts: the caller's directory, or the new root. */
function directory(value: unknown, base: string): string | false {
  return value === false ? false : resolve(base, text('chdir', value, 'a path or false'))
}
