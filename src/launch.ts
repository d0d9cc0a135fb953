// Starting another program as a daemon, and going on; or finding the one that runs.

import { checked, native } from './binding/addon.js'
import { replaceOwner } from './control.js'
import { AlreadyRunningError, DaemonError, OptionError, StartError } from './errors/classes.js'
import { nameOf, normalise, OPTIONS } from './options/normalise.js'
import type { Settings } from './options/settings.js'
import { supervisionOf } from './options/supervision.js'
import { entries, oneOf, or, refuseUnknown, show, text } from './options/values.js'
import { requireDirectory } from './process/program.js'
import { findRunning, pause, type RunningOne } from './running/find-running.js'
import { type LaunchedProgram, launchedProgram, wordOf } from './start/launched-program.js'
import { prepareDirectories, startError } from './start/launcher.js'
import { named } from './start/naming.js'
import { type Launching, planOf } from './start/plan.js'
import { awaited, bound, patience } from './start/supervisor-plan.js'
import { takeOver } from './start/takeover.js'
import type { Launched, LaunchOptions, ListenMap, ListenTarget } from './types.js'

/** What launch() has beyond what every start has. */
const OWN = [
  'args',
  'interpreter',
  'interpreterArgs',
  'ifRunning',
  'version',
] as const satisfies readonly (keyof LaunchOptions)[]
/** What only the program itself can say. */
const PROGRAMS_OWN: readonly string[] = ['detach', 'signals']
/** What a Node program's preload applies; all else is done before exec. */
const APPLIED_LATER = [
  'name',
  'instance',
  'chdir',
  'umask',
  'chroot',
  'user',
  'group',
  'groups',
  'limits',
  'ready',
  'stopTimeout',
  'idleTimeout',
] as const satisfies readonly (keyof LaunchOptions)[]

/**
 * Starts another program as a daemon and goes on: the caller is not blocked meanwhile, and may end at any time; the
 * daemon then gets ready without it. With `ifRunning: 'reuse'` any number of concurrent callers end up with one daemon,
 * and every one of them resolves only once that is ready.
 *
 * A Node script needs no daemonize(): user, directory, umask, title and signals are taken before its first line, and it
 * is ready when its main module has been evaluated, top-level await included, and its servers listen. If it does call
 * daemonize(), that starts nothing: what was given here wins, then what that call gives.
 *
 * @throws the same errors as daemonize(); a program that isn't there: SystemCallError with `exitCode` 127
 */
export async function launch<const L extends ListenMap = Record<never, never>>(
  program: string | URL,
  options: LaunchOptions<L> = {},
): Promise<Launched<L>> {
  const request = requestOf(program, options as LaunchOptions)
  const launched = request.reuses ? await findOrStart(request) : await start(request)
  return launched as Launched<L>
}

/** The same under the supervisor, though nothing is to be restarted: what the command starts. */
export async function launchSupervised(program: string, options: LaunchOptions): Promise<Launched> {
  const request = supervised(requestOf(program, options))
  return request.reuses ? findOrStart(request) : start(request)
}

/**
 * The same in this process, which the supervisor takes: in the foreground, for containers, service managers and
 * debugging. Returns only by throwing.
 */
export function run(program: string, options: LaunchOptions): never {
  const { settings, program: launched, launching } = supervised(requestOf(program, options))
  takeOver(settings, launched, launching)
}

/** @throws what launch() would, of the options and the program, before anything is done */
export function checkLaunch(program: string, options: LaunchOptions): void {
  requestOf(program, options)
}

/** By default: the program itself may want more, and call daemonize(). */
function supervised({ settings, ...request }: Request): Request {
  const supervision = settings.supervision ?? supervisionOf({ monitor: { restart: 'no' } })
  return { ...request, settings: { ...settings, supervision } }
}

interface Request {
  settings: Settings
  program: LaunchedProgram
  launching: Launching
  reuses: boolean
}

function requestOf(name: string | URL, options: LaunchOptions): Request {
  if (process.platform === 'win32')
    throw new DaemonError('Windows has no daemons of this kind: run it as a service', 'ERR_DAEMON_UNSUPPORTED')
  if (typeof options !== 'object' || options === null || Array.isArray(options))
    throw new OptionError('options', `Expected the options to be an object, got ${show(options)}`)
  const known = [...OPTIONS.filter(option => !PROGRAMS_OWN.includes(option)), ...OWN]
  refuseUnknown('', Object.keys(options), known)
  const common = Object.entries(options).filter(([key, value]) => value !== undefined && !isOwn(key))
  const given = { name: nameOf(wordOf(name)), chdir: false, pidFile: true, ...Object.fromEntries(common) } as const
  const version = options.version === undefined ? null : text('version', options.version, 'a string')
  const settings = { ...normalise(given, false, true), version }
  const reuses = oneOf('ifRunning', or(options.ifRunning, 'error'), ['error', 'reuse']) === 'reuse'
  if (reuses && !settings.pidFile) {
    throw new OptionError(
      'ifRunning',
      "The `ifRunning` option can't be 'reuse' without a `pidFile`: nothing tells what runs",
    )
  }
  if (settings.ready === 'port' && settings.listen.length === 0) {
    throw new OptionError('ready', "The `ready` option can't be 'port' without `listen`: there is no address to answer")
  }
  // Looked for when all else is right: a wrong option is told before a missing program.
  const program = launchedProgram(name, options, requireDirectory())
  const applied = APPLIED_LATER.map(key => [key, given[key as keyof typeof given]])
  return {
    settings,
    program,
    reuses,
    launching: {
      given: {
        options: { ...Object.fromEntries(applied), listen: resolved(options.listen, settings) },
        keys: common.map(([key]) => key),
      },
      record: { program: program.file, options: recordOf(options) },
    },
  }
}

function isOwn(key: string): boolean {
  return (OWN as readonly string[]).includes(key)
}

/** With paths that mean the same in the daemon, whatever its environment says of directories. */
function resolved(listen: ListenMap | undefined, settings: Settings): ListenMap {
  const paths = new Map(settings.listen.map(({ name, path }) => [name, path]))
  const target = (name: string, value: ListenTarget): ListenTarget => {
    const path = paths.get(name)
    return path === undefined ? value : { path }
  }
  return Object.fromEntries(Object.entries(listen ?? {}).map(([name, value]) => [name, target(name, value)]))
}

/**
 * What JSON can hold of the options, and another start may do too: a variable that is to be removed is null. The caller's
 * descriptors are nobody else's, and the pid file was taken from somebody once.
 */
function recordOf({ env, preserve: _, pidFile, ...options }: LaunchOptions): Record<string, unknown> {
  const variables = entries('env', env, true).map(([name, value]) => [name, value ?? null])
  const plain = Object.entries(options).filter(([key, value]) => !(isStream(key) && isDescriptor(value)))
  const file = typeof pidFile === 'object' ? { ...pidFile, overwrite: undefined } : pidFile
  return {
    ...Object.fromEntries(plain),
    ...(pidFile !== undefined && { pidFile: file }),
    ...(env && { env: Object.fromEntries(variables) }),
  }
}

function isStream(key: string): boolean {
  return ['stdin', 'log', 'stdout', 'stderr'].includes(key)
}

function isDescriptor(value: unknown): boolean {
  return typeof value === 'number' || (typeof value === 'object' && value !== null && 'fd' in value)
}

async function start({ settings, program, launching }: Request): Promise<Launched> {
  prepareDirectories(settings)
  const plan = planOf(settings, program, launching)
  const answer = await native.launch(plan, patience(settings, plan))
  try {
    const { pid, addresses, outcome } = checked(answer)
    if (outcome.kind !== 'ready') throw startError(settings, outcome)
    return {
      pid,
      started: true,
      pidFile: settings.pidFile?.path ?? null,
      addresses: Object.fromEntries([
        ...bound(settings).map(({ name }, index) => [name, addresses[index] ?? '']),
        ...awaited(settings).map(({ name, address }) => [name, address]),
      ]),
    }
  } catch (error) {
    throw named(settings, error)
  }
}

/** Until one has it, or has started it: others may start, replace and end it meanwhile. */
async function findOrStart(request: Request): Promise<Launched> {
  const { settings } = request
  const path = settings.pidFile?.path ?? ''
  const deadline = performance.now() + settings.startTimeout
  for (;;) {
    const running = await findRunning(path, deadline)
    if (running === 'late') throw lateError(settings)
    if (running !== null && isWanted(running, settings)) {
      const { pid, state } = running
      return { pid, started: false, pidFile: path, addresses: state?.addresses ?? {} }
    }
    if (running !== null) await replaceOwner(path, running.pid)
    else {
      try {
        return await start(request)
      } catch (error) {
        if (!isTaken(error) || performance.now() > deadline) throw error
        await pause()
      }
    }
  }
}

function isWanted({ state }: RunningOne, { version }: Settings): boolean {
  return version === null || state?.release === version
}

/** Somebody else was faster; or was just looking. */
function isTaken(error: unknown): boolean {
  return error instanceof AlreadyRunningError || (error instanceof DaemonError && error.code === 'ERR_DAEMON_BLOCKED')
}

function lateError({ name, startTimeout }: Settings): StartError {
  const message = `${name}: the daemon that somebody else starts or ends was not ready after ${startTimeout} ms; it was left alone`
  return new StartError(message, { exitCode: 124, stderr: '', late: true })
}
