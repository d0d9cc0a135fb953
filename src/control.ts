// Acting on a running daemon: always on the process that holds its pid file, never on a recycled pid.
import { constants } from 'node:os'
import { resolve } from 'node:path'
import { checked, native } from './binding/addon.js'
import { DaemonError, notRunning, OptionError } from './errors/classes.js'
import { OPTIONS } from './options/table.js'
import { duration, oneOf, or } from './options/values.js'
import { PidLock } from './pid-lock.js'
import { unlessAborted } from './process/unless-aborted.js'
import { askSupervisor, outcomeOf, type SupervisorStatus } from './running/control-socket.js'
import { pause } from './running/find-running.js'
import { targetPath } from './running/paths.js'
import { companionsOf, readLastState, readState } from './running/state-file.js'
import type { Abortable } from './types.js'

/** Options of stop(). */
export interface StopOptions {
  /** The signal that asks the daemon to stop. @default 'SIGTERM' */
  signal?: NodeJS.Signals | undefined
  /** How long to wait before SIGKILL, in milliseconds. @default the daemon's own stopTimeout and 2 s */
  timeout?: number | undefined
  /** Whether to send SIGKILL at the timeout; `false` rejects instead. @default true */
  force?: boolean | undefined
  /**
   * Gives up waiting when it aborts: stop() rejects with its reason. The daemon has been asked by then, and is still killed at the
   * timeout while this process lives. `signal` is the one that is sent.
   * @default none
   */
  abortSignal?: AbortSignal | undefined
}

/** What stop() did. */
export interface Stopped {
  /** The pid of the daemon; null if none was running. */
  readonly pid: number | null
  /** False if there was nothing to stop, which is no error. */
  readonly wasRunning: boolean
  /** True if the daemon had to be killed by SIGKILL. */
  readonly forced: boolean
  /** The daemon's exit code, where its supervisor has told it; else null. It is 1 where workers had to be killed. */
  readonly exitCode: number | null
  /** The pids of workers that had not exited within `stopTimeout`, so that their supervisor killed them. */
  readonly killed: readonly number[]
  /** The time from the call until the daemon had exited, in milliseconds. */
  readonly elapsed: number
}

/** How much longer than its own stopTimeout a daemon may take before SIGKILL, in milliseconds. */
const KILL_DELAY = 2_000

/**
 * Asks a daemon to stop, waits until it has exited, and removes a pid file that it left. `target` is a name in the run
 * directory or, with a slash, a pid file.
 * @throws DaemonError ERR_DAEMON_UNVERIFIED: the kernel doesn't say who holds the file, or the file names a live process
 * that doesn't lock it, such as another system's daemon; nothing was signalled or removed
 * @throws DaemonError ERR_DAEMON_STOP_TIMEOUT: with `force: false`, it still runs
 * @throws SystemCallError EPERM: it is another user's; or the pid file can't be read
 * @throws OptionError `signal` or `timeout` is wrong
 * @throws the reason of `abortSignal`, if that aborts before the daemon has exited
 */
export async function stop(target: string, options: StopOptions = {}): Promise<Stopped> {
  const path = resolve(targetPath(target))
  const { signal = 'SIGTERM', force = true, abortSignal } = options
  const number = signalNumber(signal)
  const { pid } = PidLock.inspect(path)
  const stopTimeout = readState(path, pid)?.stopTimeout ?? OPTIONS.stopTimeout.default
  const timeout = duration('timeout', or(options.timeout, stopTimeout + KILL_DELAY))
  abortSignal?.throwIfAborted()
  const start = performance.now()
  const asked = pid === null ? null : outcomeOf(path, pid, timeout + KILL_DELAY)
  const result = checked(
    await unlessAborted(
      native.stopOwner({ path, companions: companionsOfStopped(path), signal: number, timeout, force }),
      abortSignal,
    ),
  )
  const elapsed = performance.now() - start
  if (!result.ended) {
    const message = `pid ${result.pid} still runs ${Math.round(elapsed)} ms after ${signal} (${path})`
    throw new DaemonError(message, 'ERR_DAEMON_STOP_TIMEOUT')
  }
  const { exitCode = null, killed = [] } = (await asked) ?? {}
  return {
    pid: result.pid ?? null,
    wasRunning: result.pid !== undefined,
    forced: result.forced,
    exitCode,
    killed,
    elapsed,
  }
}

/** Lists the files that are removed with a daemon that is to stop. The record of one that failed by itself stays. */
function companionsOfStopped(path: string): string[] {
  return readLastState(path)?.failure === undefined ? companionsOf(path) : []
}

/**
 * Stops the daemon that runs as `pid`, and no later one. Of several processes that call this at once, one stops it and the
 * others wait.
 * @throws DaemonError ERR_DAEMON_UNVERIFIED
 * @throws SystemCallError EPERM: it is another user's
 */
export async function replaceOwner(path: string, pid: number): Promise<void> {
  const timeout = (readState(path, pid)?.stopTimeout ?? OPTIONS.stopTimeout.default) + KILL_DELAY
  const companions = companionsOf(path)
  checked(
    await native.stopOwner({ path, companions, signal: constants.signals.SIGTERM, timeout, force: true, only: pid }),
  )
}

/** Options of signal(). */
export interface SignalOptions {
  /**
   * Who gets it: `'daemon'`, the process that holds the pid file, which is the supervisor where there is one; or `'worker'`, the
   * program itself, those that boot as soon as they are ready.
   * @default 'daemon'
   */
  to?: 'daemon' | 'worker' | undefined
}

/**
 * Sends one signal to a daemon, and resolves when it is sent. A signal that asks for something other than the end waits
 * until the daemon is ready: before it listens to the signal, it would be killed by it. `target` as for stop().
 * @throws DaemonError ERR_DAEMON_NOT_RUNNING
 * @throws DaemonError ERR_DAEMON_UNVERIFIED: the kernel doesn't say who holds the file, and nothing was signalled
 * @throws SystemCallError EPERM: it is another user's
 * @throws DaemonError ERR_DAEMON_UNSUPPORTED: its supervisor is of an older version, which signals no workers
 * @throws OptionError there is no such signal; `to` is wrong
 */
export async function signal(target: string, signal: NodeJS.Signals, options: SignalOptions = {}): Promise<void> {
  const path = resolve(targetPath(target))
  const number = signalNumber(signal)
  const toWorkers = oneOf('to', or(options.to, 'daemon'), ['daemon', 'worker']) === 'worker'
  // A daemon without supervisor is the program itself.
  if (
    toWorkers &&
    (await askSupervisor(runningPidFile(path), { do: 'signal', signal: number }, 'ERR_DAEMON_UNSUPPORTED'))
  )
    return
  checked(await native.signalOwner(path, number))
}

/**
 * Reopens the logs and replaces the workers without dropping a connection: each worker's successor is ready before the
 * worker stops, and this resolves when the last successor is. A daemon without a supervisor is sent SIGHUP. `target` as
 * for stop().
 * @throws DaemonError ERR_DAEMON_NOT_RUNNING
 * @throws DaemonError ERR_DAEMON_RELOAD: a successor did not get ready, and the old workers go on
 * @throws SystemCallError ETIMEDOUT after `timeout` milliseconds, while the reload goes on; EACCES, EPERM: it is another
 * user's
 * @throws OptionError `timeout` is wrong
 * @throws the reason of `options.signal`, if that aborts: the reload goes on
 */
export async function reload(
  target: string,
  options: { timeout?: number | undefined } & Abortable = {},
): Promise<void> {
  const path = runningPidFile(target)
  const timeout = options.timeout === undefined ? Infinity : duration('timeout', options.timeout)
  options.signal?.throwIfAborted()
  const asked = askSupervisor(path, { do: 'reload' }, 'ERR_DAEMON_RELOAD', timeout)
  if ((await unlessAborted(asked, options.signal)) === null) await signal(path, 'SIGHUP')
}

/**
 * Opens the logs of a daemon again that were moved or removed. A daemon without a supervisor is sent SIGHUP, which runs
 * its onReload hooks, too. `target` as for stop().
 * @throws DaemonError ERR_DAEMON_NOT_RUNNING
 * @throws DaemonError ERR_DAEMON_REOPEN: the supervisor refused
 * @throws SystemCallError EACCES, EPERM: it is another user's
 */
export async function reopenLogs(target: string): Promise<void> {
  const path = runningPidFile(target)
  if ((await askSupervisor(path, { do: 'reopen-logs' }, 'ERR_DAEMON_REOPEN')) === null) await signal(path, 'SIGHUP')
}

/**
 * Changes the number of a daemon's workers to `to`: '4', or by '+1' or '-1'. Resolves with the number that there are then, once
 * all of them are ready.
 * @throws DaemonError ERR_DAEMON_NOT_RUNNING
 * @throws DaemonError ERR_DAEMON_SCALE: its number of workers can't be changed, or one of them fails again and again
 */
export async function scale(target: string, to: string): Promise<number> {
  const path = runningPidFile(target)
  if ((await askSupervisor(path, { do: 'scale', to }, 'ERR_DAEMON_SCALE')) === null) {
    throw new DaemonError(
      `${path}: it runs without a supervisor, so that there is nothing to scale`,
      'ERR_DAEMON_SCALE',
    )
  }
  for (;;) {
    const status = await askSupervisor(path, { do: 'status' }, 'ERR_DAEMON_SCALE')
    if (status === null) throw notRunning(path)
    const { workers, slots, failing } = status as SupervisorStatus
    const ready = workers.filter(worker => worker.ready && !worker.retiring).length
    if (ready === slots) return slots
    if (failing) {
      throw new DaemonError(`${path}: ${ready} of ${slots} workers are ready: ${failing.lastExit}`, 'ERR_DAEMON_SCALE')
    }
    await pause()
  }
}

/** Returns the pid file of a running daemon. @throws DaemonError ERR_DAEMON_NOT_RUNNING */
function runningPidFile(target: string): string {
  const path = resolve(targetPath(target))
  const { state } = PidLock.inspect(path)
  if (state === 'running' || state === 'starting') return path
  throw notRunning(path)
}

function signalNumber(signal: NodeJS.Signals): number {
  const number = constants.signals[signal]
  if (number === undefined) throw new OptionError('signal', `Unknown signal '${signal}'`)
  return number
}
