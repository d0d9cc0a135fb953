// Starting another program as a daemon, and going on; or finding the one that runs.
import { checked, native } from './binding/addon.js'
import { replaceOwner } from './control.js'
import { AlreadyRunningError, DaemonError, OptionError, StartError } from './errors/classes.js'
import type { LaunchOptions, ListenMap, ListenTarget } from './option-types.js'
import { nameOf } from './options/name.js'
import { normalise } from './options/normalise.js'
import type { Settings } from './options/settings.js'
import { supervisionOf } from './options/supervision.js'
import { decidedBy, LAUNCH_OPTIONS, OPTIONS, takesEffect } from './options/table.js'
import { entries, oneOf, or, refuseUnknown, show, text } from './options/values.js'
import { requireDirectory, requireUnix, throughLinks } from './process/program.js'
import { findRunning, pause, type RunningOne } from './running/find-running.js'
import { type LaunchedProgram, launchedProgram, wordOf } from './start/launched-program.js'
import { type AnyLaunched, launchedFrom, prepareDirectories } from './start/launcher.js'
import { withNames } from './start/name-errors.js'
import { type Launching, planOf } from './start/plan.js'
import { checkCode } from './start/program-code.js'
import { launcherTimeout } from './start/supervisor-plan.js'
import { takeOver } from './start/takeover.js'
import { failing } from './start/tell-failure.js'
import { tellOfLostRace, warnOfOthers } from './start/warnings.js'
import type { Abortable, Launched } from './types.js'

/** Options that launch() alone has. */
const OWN: readonly string[] = decidedBy('launch')
/** Options that a Node.js program's preload needs in the daemon: they take effect there, or name its files. */
const NEEDED_IN_DAEMON = LAUNCH_OPTIONS.filter(name => takesEffect(name, 'call'))

/**
 * Starts another program as a daemon and goes on: the caller is not blocked meanwhile, and may end at any time; the
 * daemon then gets ready without it. With `ifRunning: 'reuse'` any number of concurrent callers end up with one daemon,
 * and every one of them resolves only once that is ready.
 *
 * A Node script needs no daemonize(): user, directory, umask, title and signals are taken before its first line, and it
 * is ready when its main module has been evaluated, top-level await included, and its servers listen. If it does call
 * daemonize(), that starts nothing: what was given here wins, then what that call gives.
 *
 * @throws OptionError         an option is wrong (nothing was started)
 * @throws AlreadyRunningError the pid file is locked, and `ifRunning` is 'error'; `.pid` is its owner
 * @throws SystemCallError     a system call failed; a program that isn't there has `exitCode` 127, one that can't be
 *                             executed 126
 * @throws StartError          the daemon ended or timed out before it was ready
 * @throws DaemonError         ERR_DAEMON_UNSUPPORTED: Windows; ERR_DAEMON_BLOCKED: another process has a read lock on the
 *                             pid file; ERR_DAEMON_UNVERIFIED: the daemon to replace can't be told for sure
 * @throws the reason of `signal`, if that aborts before the daemon is ready: one that this call started has been ended
 *                             then, and another one was left alone
 */
export async function launch<
  const L extends ListenMap = Record<never, never>,
  P extends LaunchOptions['pidFile'] = Exclude<LaunchOptions['pidFile'], false>,
>(
  program: string | URL,
  options: LaunchOptions<L> & { pidFile?: P } & Abortable = {},
): Promise<Launched<L, P extends false ? null : string>> {
  const { signal, ...rest } = options
  const request = requestOf(program, rest as LaunchOptions)
  signal?.throwIfAborted()
  const launched = request.reuses ? await findOrStart(request, signal) : await start(request, signal)
  return launched as Launched<L, P extends false ? null : string>
}

/** Starts a program as launch() does, but always under the supervisor, if only to watch it: what the command starts. */
export async function launchSupervised(program: string, options: LaunchOptions): Promise<AnyLaunched> {
  const request = supervised(requestOf(program, options))
  return request.reuses ? findOrStart(request) : start(request)
}

/**
 * Runs a program in the foreground, for containers, service managers and debugging: the supervisor takes this process.
 * Returns only by throwing.
 */
export function run(program: string, options: LaunchOptions): never {
  const { settings, program: launched, launching } = supervised(requestOf(program, options))
  warnOfOthers(settings)
  try {
    takeOver(settings, launched, launching)
  } catch (error) {
    failing(error)
  }
}

/** Checks options and program, and starts nothing. @throws OptionError, SystemCallError, as launch() does */
export function checkLaunch(program: string, options: LaunchOptions): void {
  const { settings, program: launched } = requestOf(program, options)
  if (settings.supervision) checkCode(settings, settings.supervision, throughLinks(launched))
}

/** Adds a supervisor that restarts nothing, unless the options ask for another: a daemonize() call may still ask for more. */
function supervised({ settings, ...request }: Request): Request {
  const supervision = settings.supervision ?? supervisionOf({ monitor: { restart: 'no' } })
  return { ...request, launching: { ...request.launching, hints: true }, settings: { ...settings, supervision } }
}

/** One call of launch(), checked. */
interface Request {
  settings: Settings
  program: LaunchedProgram
  launching: Launching
  reuses: boolean
}

function requestOf(name: string | URL, options: LaunchOptions): Request {
  requireUnix()
  if (typeof options !== 'object' || options === null || Array.isArray(options))
    throw new OptionError('options', `Expected the options to be an object, got ${show(options)}`)
  refuseUnknown('', Object.keys(options), LAUNCH_OPTIONS)
  const common = Object.entries(options).filter(([key, value]) => value !== undefined && !OWN.includes(key))
  const { chdir, log, pidFile, ifRunning } = OPTIONS
  const defaults = {
    name: nameOf(wordOf(name)),
    chdir: chdir.launchDefault,
    log: log.launchDefault,
    pidFile: pidFile.launchDefault,
  }
  const given = { ...defaults, ...Object.fromEntries(common) } as const
  const version = options.version === undefined ? null : text('version', options.version, 'a string')
  const settings = { ...normalise(given, false, true), version }
  const reuses = oneOf('ifRunning', or(options.ifRunning, ifRunning.default), ['error', 'reuse']) === 'reuse'
  if (reuses && !settings.pidFile) {
    throw new OptionError(
      'ifRunning',
      "The `ifRunning` option can't be 'reuse' without a `pidFile`: nothing tells what runs",
    )
  }
  if (settings.ready === 'port' && settings.listen.length === 0) {
    throw new OptionError('ready', "The `ready` option can't be 'port' without `listen`: there is no address to answer")
  }
  // Last, so that a wrong option is reported rather than a missing program.
  const program = launchedProgram(name, options, requireDirectory())
  const needed = NEEDED_IN_DAEMON.map(key => [key, given[key as keyof typeof given]])
  return {
    settings,
    program,
    reuses,
    launching: {
      given: {
        options: { ...Object.fromEntries(needed), listen: resolved(options.listen, settings) },
        keys: common.map(([key]) => key),
      },
      record: { program: program.file, options: recordOf(options) },
      hints: false,
    },
  }
}

/** Gives `listen` with absolute paths: the daemon's environment may name another run directory. */
function resolved(listen: ListenMap | undefined, settings: Settings): ListenMap {
  const paths = new Map(settings.listen.map(({ name, path }) => [name, path]))
  const target = (name: string, value: ListenTarget): ListenTarget => {
    const path = paths.get(name)
    return path === undefined ? value : { path }
  }
  return Object.fromEntries(Object.entries(listen ?? {}).map(([name, value]) => [name, target(name, value)]))
}

/**
 * Gives the options that a restart is to repeat, for JSON: a variable that is to be removed is null. Left out are the
 * caller's descriptors, which no other process has, and `overwrite`, which was meant for one start.
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

async function start({ settings, program, launching }: Request, signal?: AbortSignal): Promise<AnyLaunched> {
  prepareDirectories(settings)
  const before = warnOfOthers(settings)
  const plan = planOf(settings, program, launching)
  const cancel = signal && new native.StartCancel()
  const abort = () => cancel?.cancel()
  signal?.addEventListener('abort', abort)
  const answer = await native.launch(plan, launcherTimeout(settings, plan), cancel)
  signal?.removeEventListener('abort', abort)
  if ('outcome' in answer && answer.outcome.kind === 'cancelled') throw signal?.reason
  try {
    return launchedFrom(settings, checked(answer))
  } catch (error) {
    tellOfLostRace(settings, before, error)
    throw withNames(settings, error)
  }
}

/** Tries until a daemon runs that is wanted: other callers may start, replace and stop daemons between these steps. */
async function findOrStart(request: Request, signal?: AbortSignal): Promise<AnyLaunched> {
  const { settings } = request
  const path = settings.pidFile?.path ?? ''
  const deadline = performance.now() + settings.startTimeout
  for (;;) {
    const running = await findRunning(path, deadline, signal)
    if (running === 'late') throw lateError(settings)
    if (running !== null && isWanted(running, settings)) {
      const { pid, state } = running
      return { pid, started: false, target: path, pidFile: path, addresses: state?.addresses ?? {} }
    }
    if (running !== null) await replaceOwner(path, running.pid)
    else {
      try {
        return await start(request, signal)
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

/** Whether another caller was faster, or was just looking at the pid file. */
function isTaken(error: unknown): boolean {
  return error instanceof AlreadyRunningError || (error instanceof DaemonError && error.code === 'ERR_DAEMON_BLOCKED')
}

function lateError({ name, startTimeout }: Settings): StartError {
  const message = `${name}: the daemon that somebody else starts or ends was not ready after ${startTimeout} ms; it was left alone`
  return new StartError(message, { exitCode: 124, stderr: '', late: true })
}
