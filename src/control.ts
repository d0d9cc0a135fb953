// Acting on a running daemon: always on the process that holds its pid file, never on a recycled pid.
import { constants } from 'node:os'
import { resolve } from 'node:path'
import { DaemonError, OptionError } from './errors.js'
import { checked, done, native } from './native.js'
import { statePath, targetPath } from './paths.js'
import { PidLock } from './pid-lock.js'
import { readState, STOP_TIMEOUT } from './state.js'
import { duration, or } from './values.js'

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
    await native.stopOwner({ path, companions: [statePath(path)], signal: number, timeout, force }),
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
  const companions = [statePath(path)]
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

function signalNumber(signal: NodeJS.Signals): number {
  const number = constants.signals[signal]
  if (number === undefined) throw new OptionError('signal', `Unknown signal '${signal}'`)
  return number
}
