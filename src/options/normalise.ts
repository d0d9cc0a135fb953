// Options, validated and normalised once: what the rest of the code gets has every default filled in.

import { fstatSync } from 'node:fs'
import { constants } from 'node:os'
import { basename, extname, resolve } from 'node:path'
import type { LimitPlan, Resources, StreamPlan } from '#native'
import { native } from '../binding/addon.js'
import { OptionError } from '../errors/classes.js'
import { logPath, runPath, targetOf } from '../running/paths.js'
import type { DaemonizeOptions, SignalAction, SignalMap } from '../types.js'
import { type Identity, normaliseIdentity } from './identity.js'
import { listenPlan } from './listen.js'
import type { Readiness, Settings } from './settings.js'
import { STOP_TIMEOUT } from './settings.js'
import { supervisionOf } from './supervision.js'
import {
  duration,
  entries,
  expected,
  isName,
  list,
  mode,
  oneOf,
  or,
  refuseUnknown,
  show,
  suggestion,
  text,
  whole,
} from './values.js'

export const OPTIONS = [
  'name',
  'instance',
  'detach',
  'chdir',
  'umask',
  'chroot',
  'user',
  'group',
  'groups',
  'stdin',
  'log',
  'stdout',
  'stderr',
  'preserve',
  'listen',
  'limits',
  'nice',
  'oomScoreAdjust',
  'noNewPrivileges',
  'signals',
  'env',
  'pidFile',
  'ready',
  'idleTimeout',
  'monitor',
  'workers',
  'startTimeout',
  'stopTimeout',
] as const satisfies readonly (keyof DaemonizeOptions)[]

const START_TIMEOUT = 30_000
const LOG_MODE = 0o640
const PID_FILE_MODE = 0o644

const DEFAULT_SIGNALS: SignalMap = {
  SIGTTIN: 'ignore',
  SIGTTOU: 'ignore',
  SIGTSTP: 'ignore',
  SIGTERM: 'stop',
  SIGINT: 'stop',
  SIGQUIT: 'stop',
  SIGHUP: 'reload',
}
const ACTIONS = ['ignore', 'default', 'stop', 'reload', 'reopen-logs'] as const
/** Where passed sockets begin: sd_listen_fds(3). */
const FIRST_SOCKET = 3
/** Every process may have as many descriptors. */
const HIGHEST_READY = 255
/** KILL and STOP can't be caught; CHLD is how libuv learns of the ends of child processes. */
const UNMAPPABLE = new Set(['SIGKILL', 'SIGSTOP', 'SIGCHLD'])

/**
 * `isDaemon`: the standard streams are as the launcher made them, and what it was given for them may be gone.
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
  refuseUnknown('', Object.keys(options), OPTIONS)
  const name = normaliseName(options.name)
  const instance = options.instance === undefined ? null : text('instance', options.instance, 'a string')
  const fileName = targetOf(name, instance)
  const stream = (key: 'stdout' | 'stderr', fd: number): StreamPlan => {
    if (isDaemon) return { kind: 'null' }
    const log = output('log', options.log, fd, fileName)
    return options[key] === undefined ? log : output(key, options[key], fd, fileName)
  }
  const identity = normaliseIdentity(options)
  const listen = entries('listen', options.listen).map(([key, target]) => listenPlan(key, target, fileName))
  const kept = isDaemon ? [] : preserved(options.preserve, listen.length, options.chroot !== undefined)
  const taken = (fd: number) => fd < FIRST_SOCKET + listen.length || kept.includes(fd)
  return {
    name,
    instance,
    version: null,
    identity,
    detach: oneOf('detach', or(options.detach, 'auto'), [true, false, 'auto']),
    chdir: directory(options.chdir, options.chroot === undefined ? '.' : '/'),
    umask: options.umask === false ? false : mode('umask', or(options.umask, 0o022), 0o777),
    stdin: isDaemon ? { kind: 'null' } : input(options.stdin),
    stdout: stream('stdout', 1),
    stderr: stream('stderr', 2),
    listen,
    preserve: kept,
    resources: resourcesOf(options),
    signals: signalMap(options.signals),
    givenSignals: new Set(entries('signals', options.signals).map(([signal]) => signal)),
    environment: environmentOf(identity, options.env),
    pidFile: pidFile(options.pidFile, fileName),
    ready: readiness(or(options.ready, 'auto'), isLaunched, taken),
    startTimeout: duration('startTimeout', or(options.startTimeout, START_TIMEOUT)),
    stopTimeout: duration('stopTimeout', or(options.stopTimeout, STOP_TIMEOUT)),
    idleTimeout: options.idleTimeout === undefined ? null : duration('idleTimeout', options.idleTimeout),
    supervision: supervisionOf(options),
  }
}

function readiness(value: unknown, isLaunched: boolean, isTaken: (fd: number) => boolean): Readiness {
  if (!isLaunched) return oneOf('ready', value, ['auto', 'manual'])
  const [, number] = typeof value === 'string' ? (/^fd=(\d+)$/.exec(value) ?? []) : []
  if (number !== undefined) {
    const fd = whole('ready', Number(number), FIRST_SOCKET, HIGHEST_READY)
    if (!isTaken(fd)) return `fd=${fd}`
    throw new OptionError(
      'ready',
      `The \`ready\` option names descriptor ${fd}, which \`listen\` or \`preserve\` will have`,
    )
  }
  return oneOf('ready', value, ['auto', 'manual', 'port'])
}

function normaliseName(name: unknown): string {
  if (name === undefined) return defaultName()
  if (!isName(name)) {
    throw expected('name', 'at most 64 letters, digits, dots, dashes and underscores', name)
  }
  return name
}

function defaultName(): string {
  return nameOf(process.argv[1] ?? process.execPath)
}

/** What a daemon is called if it isn't told. */
export function nameOf(script: string): string {
  const name = basename(script, extname(script)).replaceAll(/[^A-Za-z0-9._-]/g, '_')
  return name.slice(0, 64).replace(/^\.+$/, '') || 'daemon'
}

/** A relative one starts at `base`: the caller's directory, or the new root. */
function directory(value: unknown, base: string): string | false {
  if (value === undefined) return '/'
  if (value === false) return false
  return resolve(base, text('chdir', value, 'a path or false'))
}

/** An explicit `env` wins over what follows from the user. */
function environmentOf(identity: Identity, env: unknown): Settings['environment'] {
  const given = entries('env', env, true).map(([key, value]) => environmentChange(key, value))
  return [...identity.environment.filter(({ name }) => !given.some(each => each.name === name)), ...given]
}

/** Numbers of open descriptors, those that the sockets will have excepted. */
function preserved(value: unknown, sockets: number, hasNewRoot: boolean): number[] {
  if (value === undefined) return []
  if (!Array.isArray(value)) throw expected('preserve', 'an array of descriptors', value)
  const numbers = value.flatMap((each, index) => {
    if (each === undefined || each === null) return []
    const option = `preserve.${index}`
    const fd = whole(option, typeof each === 'object' ? each.fd : each, 0, 2 ** 31 - 1)
    if (fd < FIRST_SOCKET)
      throw new OptionError(option, 'The standard streams have options of their own: stdin, stdout, stderr')
    return [fd]
  })
  for (const fd of numbers) {
    if (native.descriptorAccess(fd) === null) {
      throw new OptionError('preserve', `The \`preserve\` option names descriptor ${fd}, which is not open`)
    }
    if (hasNewRoot && fstatSync(fd).isDirectory()) {
      throw new OptionError(
        'preserve',
        `The \`preserve\` option names descriptor ${fd}, a directory that leads out of the new root`,
      )
    }
    if (fd >= FIRST_SOCKET && fd < FIRST_SOCKET + sockets) {
      throw new OptionError(
        'preserve',
        `The \`preserve\` option names descriptor ${fd}, which a socket of \`listen\` will have`,
      )
    }
  }
  return [...new Set(numbers)]
}

function input(value: DaemonizeOptions['stdin']): StreamPlan {
  if (value === undefined || value === 'ignore') return { kind: 'null' }
  if (value === 'inherit') return { kind: 'inherit' }
  if (typeof value === 'number') return descriptor('stdin', value, 'read')
  if (typeof value === 'object' && value !== null && 'fd' in value) return descriptor('stdin', value.fd, 'read')
  return { kind: 'file', path: filePath('stdin', value, ['ignore', 'inherit']) }
}

function output(option: string, value: unknown, fd: number, name: string): StreamPlan {
  if (value === undefined || value === 'ignore') return { kind: 'null' }
  if (value === 'inherit') return { kind: 'inherit' }
  if (value === 'inherit-unless-tty')
    return process.getBuiltinModule('node:tty').isatty(fd) ? { kind: 'null' } : { kind: 'inherit' }
  if (value === true && option === 'log') return { kind: 'file', path: logPath(name), mode: LOG_MODE }
  if (typeof value === 'number') return descriptor(option, value, 'write')
  if (typeof value === 'object' && value !== null) {
    const target = value as { fd?: unknown; path?: unknown; mode?: unknown; truncate?: unknown }
    if ('fd' in target) {
      refuseUnknown(option, Object.keys(target), ['fd'])
      return descriptor(option, target.fd, 'write')
    }
    refuseUnknown(option, Object.keys(target), ['path', 'mode', 'truncate'])
    return {
      kind: 'file',
      path: resolve(text(`${option}.path`, target.path, 'a path')),
      mode: mode(`${option}.mode`, or(target.mode, LOG_MODE), 0o7777),
      truncate: oneOf(`${option}.truncate`, or(target.truncate, false), [true, false]),
    }
  }
  return { kind: 'file', path: filePath(option, value, ['ignore', 'inherit', 'inherit-unless-tty']), mode: LOG_MODE }
}

/** A path; a bare word is more likely a misspelt one of ours than a file. */
function filePath(option: string, value: unknown, words: readonly string[]): string {
  const path = text(option, value, `a path, a descriptor or one of ${list(words)}`)
  if (!/[/.]/.test(path)) {
    throw new OptionError(
      option,
      `Expected the \`${option}\` option to be ${list(words)} or a path, got ${show(path)}${suggestion(path, words)} ` +
        `(a file of that name is './${path}')`,
    )
  }
  return resolve(path)
}

function descriptor(option: string, given: unknown, access: 'read' | 'write'): StreamPlan {
  if (typeof given !== 'number') throw expected(option, 'a descriptor', given)
  const fd = given
  const allowed = Number.isInteger(fd) && fd >= 0 && fd < 2 ** 31 ? native.descriptorAccess(fd) : null
  if (allowed === null)
    throw new OptionError(option, `The \`${option}\` option names descriptor ${fd}, which is not open`)
  if (allowed !== 'both' && allowed !== access) {
    throw new OptionError(option, `The \`${option}\` option names descriptor ${fd}, which is open to ${allowed} only`)
  }
  if (fstatSync(fd).isDirectory())
    throw new OptionError(option, `The \`${option}\` option names descriptor ${fd}, a directory`)
  return { kind: 'descriptor', fd }
}

function resourcesOf(options: Omit<DaemonizeOptions, 'ready'>): Resources {
  const { limits, nice, oomScoreAdjust, noNewPrivileges } = options
  return {
    limits: limitPlans(limits),
    ...(nice !== undefined && { nice: whole('nice', nice, -20, 19) }),
    ...(oomScoreAdjust !== undefined && { oomScoreAdjust: whole('oomScoreAdjust', oomScoreAdjust, -1000, 1000) }),
    noNewPrivileges: oneOf('noNewPrivileges', or(noNewPrivileges, false), [true, false]),
  }
}

function limitPlans(limits: unknown): LimitPlan[] {
  const known = native.knownLimits()
  const given = entries('limits', limits)
  refuseUnknown(
    'limits',
    given.map(([key]) => key),
    known,
  )
  const plans = given.map(([resource, limit]) => limitPlan(resource, limit))
  return plans.some(plan => plan.resource === 'core') ? plans : [...plans, { resource: 'core', soft: 0, hard: 0 }]
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

function signalMap(signals: unknown): Map<NodeJS.Signals, SignalAction> {
  const given = entries('signals', signals)
  const known = Object.keys(constants.signals)
  refuseUnknown(
    'signals',
    given.map(([key]) => key),
    known,
  )
  const map = new Map(Object.entries(DEFAULT_SIGNALS))
  for (const [key, action] of given) {
    const option = `signals.${key}`
    if (UNMAPPABLE.has(key))
      throw new OptionError(option, `The \`${option}\` option can't be set: ${key} can't be mapped`)
    map.set(key, typeof action === 'function' ? (action as SignalAction) : oneOf(option, action, ACTIONS))
  }
  return map as Map<NodeJS.Signals, SignalAction>
}

function environmentChange(name: string, value: unknown): { name: string; value?: string } {
  const option = `env.${name}`
  if (name === '' || name.includes('=') || name.includes('\0')) throw expected(option, 'named without = and NUL', name)
  if (value === undefined) return { name }
  if (typeof value !== 'string' || value.includes('\0'))
    throw expected(option, 'a string without NUL, or undefined', value)
  return { name, value }
}

function pidFile(value: unknown, name: string): Settings['pidFile'] {
  if (value === undefined || value === false) return null
  const defaults = { mode: PID_FILE_MODE, overwrite: false }
  if (value === true) return { ...defaults, path: runPath(`${name}.pid`) }
  if (typeof value !== 'object' || value === null) return { ...defaults, path: pidPath('pidFile', value) }
  const given = value as { path?: unknown; mode?: unknown; overwrite?: unknown }
  refuseUnknown('pidFile', Object.keys(given), ['path', 'mode', 'overwrite'])
  return {
    path: pidPath('pidFile.path', given.path),
    mode: mode('pidFile.mode', or(given.mode, PID_FILE_MODE), 0o7777),
    overwrite: oneOf('pidFile.overwrite', or(given.overwrite, false), [true, false]),
  }
}

function pidPath(option: string, value: unknown): string {
  const path = text(option, value, 'true or a path')
  return path.includes('/') ? resolve(path) : runPath(path)
}
