// Acting on a running daemon: always on the process that holds its pid file, never on a recycled pid.
import { constants } from 'node:os'
import { resolve } from 'node:path'
import { checked, done, native } from './binding/addon.js'
import { DaemonError, OptionError } from './errors/classes.js'
import { STOP_TIMEOUT } from './options/settings.js'
import { duration, or } from './options/values.js'
import { PidLock } from './pid-lock.js'
import { askSupervisor } from './running/control-socket.js'
import { targetPath } from './running/paths.js'
import { companionsOf, readState } from './running/state-file.js'

export interface StopOptions {
  /** @default 'SIGTERM' */
  signal?: NodeJS.Signals | undefined
  /** Milliseconds until SIGKILL. @default the daemon's own stopTimeout and 2 s */
  timeout?: number | undefined
  /** SIGKILL at the timeout. @default true */
  force?: boolean | undefined
}

export interface Stopped {
  /** Null if nothing was running. */
  readonly pid: number | null
  readonly wasRunning: boolean
  /** It took SIGKILL. */
  readonly forced: boolean
  /** Milliseconds from the call to its end. */
  readonly elapsed: number
}

/** What a daemon gets beyond its own stopTimeout, to end by itself. */
const GRACE = 2_000

/**
 * Asks the daemon to end, waits until it has, and removes a pid file that it left. `target`: a name in the run
 * directory or, with a slash, a pid file.
 * @throws DaemonError ERR_DAEMON_UNVERIFIED (the kernel doesn't say who holds the file: nothing was signalled),
 * ERR_DAEMON_STOP_TIMEOUT (with `force: false`)
 */
export async function stop(target: string, options: StopOptions = {}): Promise<Stopped> {
  const path = resolve(targetPath(target))
  const { signal = 'SIGTERM', force = true } = options
  const number = signalNumber(signal)
  const stopTimeout = readState(path, PidLock.inspect(path).pid)?.stopTimeout ?? STOP_TIMEOUT
  const timeout = duration('timeout', or(options.timeout, stopTimeout + GRACE))
  const start = performance.now()
  const result = checked(
    await native.stopOwner({ path, companions: companionsOf(path), signal: number, timeout, force }),
  )
  const elapsed = performance.now() - start
  if (!result.ended) {
    const message = `pid ${result.pid} still runs ${Math.round(elapsed)} ms after ${signal} (${path})`
    throw new DaemonError(message, 'ERR_DAEMON_STOP_TIMEOUT')
  }
  return { pid: result.pid ?? null, wasRunning: result.pid !== undefined, forced: result.forced, elapsed }
}

/** Stops the daemon of this very pid, unless it has ended; of all processes that do so at once one does, the others wait. */
export async function replaceOwner(path: string, pid: number): Promise<void> {
  const timeout = (readState(path, pid)?.stopTimeout ?? STOP_TIMEOUT) + GRACE
  const companions = companionsOf(path)
  checked(
    await native.stopOwner({ path, companions, signal: constants.signals.SIGTERM, timeout, force: true, only: pid }),
  )
}

/**
 * Sends one signal to the daemon. One that doesn't end a process waits until the daemon is ready: a booting one would
 * die of it. Resolves when it is sent.
 * @throws DaemonError ERR_DAEMON_NOT_RUNNING, ERR_DAEMON_UNVERIFIED
 * @throws SystemCallError EPERM: it is another user's
 */
export async function signal(target: string, signal: NodeJS.Signals): Promise<void> {
  done(await native.signalOwner(resolve(targetPath(target)), signalNumber(signal)))
}

/**
 * Reopens the logs and replaces the program without dropping anything: under a supervisor each worker's successor is
 * ready before the worker ends, and this resolves when the last one is. A daemon without one is sent SIGHUP.
 * @throws DaemonError ERR_DAEMON_NOT_RUNNING; ERR_DAEMON_RELOAD (a successor was not ready: the old workers go on)
 * @throws SystemCallError ETIMEDOUT after `timeout` milliseconds: the reload goes on
 */
export async function reload(target: string, options: { timeout?: number | undefined } = {}): Promise<void> {
  const path = running(target)
  const timeout = options.timeout === undefined ? undefined : duration('timeout', options.timeout)
  if ((await askSupervisor(path, { do: 'reload' }, 'ERR_DAEMON_RELOAD', timeout)) === null) await signal(path, 'SIGHUP')
}

/**
 * Opens again the logs that were moved or removed. A daemon without a supervisor is sent SIGHUP, which runs its
 * onReload hooks, too.
 * @throws DaemonError ERR_DAEMON_NOT_RUNNING
 */
export async function reopenLogs(target: string): Promise<void> {
  const path = running(target)
  if ((await askSupervisor(path, { do: 'reopen-logs' }, 'ERR_DAEMON_REOPEN')) === null) await signal(path, 'SIGHUP')
}

/**
 * Changes the number of workers to `to`: '4', or by '+1' or '-1'.
 * @throws DaemonError ERR_DAEMON_NOT_RUNNING; ERR_DAEMON_SCALE: it has no workers that could be more or fewer
 */
export async function scale(target: string, to: string): Promise<void> {
  const path = running(target)
  if ((await askSupervisor(path, { do: 'scale', to }, 'ERR_DAEMON_SCALE')) === null) {
    throw new DaemonError(
      `${path}: it runs without a supervisor, so that there is nothing to scale`,
      'ERR_DAEMON_SCALE',
    )
  }
}

/** Its pid file. @throws DaemonError ERR_DAEMON_NOT_RUNNING */
function running(target: string): string {
  const path = resolve(targetPath(target))
  const { state } = PidLock.inspect(path)
  if (state === 'running' || state === 'starting') return path
  throw new DaemonError(`not running (${path})`, 'ERR_DAEMON_NOT_RUNNING', 7)
}

function signalNumber(signal: NodeJS.Signals): number {
  const number = constants.signals[signal]
  if (number === undefined) throw new OptionError('signal', `Unknown signal '${signal}'`)
  return number
}
