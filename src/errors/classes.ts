// One family of errors with stable codes; every message tells a person what to do next.
import type { Refusal } from '#native'
import { brand } from './brand.js'
import { describeErrno } from './errno.js'
import { explain, type SystemCall } from './explain.js'
import { endReadably } from './uncaught.js'

/** The base of every error that this library throws. `code` is stable; `exitCode` is for a command to exit with, never 0. */
export class DaemonError extends Error {
  readonly code: string
  readonly exitCode: number

  constructor(message: string, code: string, exitCode = 1, options?: ErrorOptions) {
    super(message, options)
    this.name = new.target.name
    this.code = code
    this.exitCode = exitCode
    endReadably()
  }
}

/** How many frames an OptionError keeps: those of this library must not leave none of the program's. */
const FRAMES = 50

/** Reports a wrong option; nothing was started. `option` is its path, such as `listen.http`. */
export class OptionError extends DaemonError {
  declare readonly code: 'ERR_DAEMON_OPTION'
  readonly option: string

  constructor(option: string, message: string) {
    super(message, 'ERR_DAEMON_OPTION', 2)
    this.option = option
    const { stackTraceLimit } = Error
    // A runtime with frozen intrinsics keeps its own limit.
    Reflect.set(Error, 'stackTraceLimit', Math.max(stackTraceLimit, FRAMES))
    Error.captureStackTrace(this, new.target)
    Reflect.set(Error, 'stackTraceLimit', stackTraceLimit)
  }
}

/**
 * Reports a failed system call: its errno (positive), its name as in section 2 of the manual, and the step that it was
 * made for.
 */
export class SystemCallError extends DaemonError {
  readonly errno: number
  readonly syscall: string
  readonly step: string
  readonly path: string | null

  constructor(what: SystemCall) {
    super(explain(what), errnoName(what.errno), exitCodeOf(what))
    this.errno = what.errno
    this.syscall = what.syscall
    this.step = what.step
    this.path = what.path ?? null
  }
}

/** Reports a locked pid file. `pid` is its owner's; null while the owner is still starting. */
export class AlreadyRunningError extends DaemonError {
  declare readonly code: 'ERR_DAEMON_RUNNING'
  readonly pid: number | null
  readonly path: string

  constructor(path: string, pid: number | null, name?: string) {
    const who = name ? `${name}: ` : ''
    const as = pid === null ? 'another start is under way' : `already running as pid ${pid}`
    super(`${who}${as} (${path})`, 'ERR_DAEMON_RUNNING')
    this.path = path
    this.pid = pid
  }
}

/**
 * Reports a daemon that exited, was killed or was late before it was ready. `exitCode` is the daemon's own, but 1 for 0;
 * 128 + N for signal N; 124 for a late one.
 */
export class StartError extends DaemonError {
  declare readonly code: 'ERR_DAEMON_START' | 'ERR_DAEMON_START_TIMEOUT'
  readonly signal: NodeJS.Signals | null
  /** The last 64 KiB that the daemon wrote to stderr. */
  readonly stderr: string

  constructor(
    message: string,
    outcome: { exitCode: number; signal?: NodeJS.Signals | null; stderr: string; late?: boolean },
  ) {
    super(
      withStderr(message, outcome.stderr),
      outcome.late ? 'ERR_DAEMON_START_TIMEOUT' : 'ERR_DAEMON_START',
      outcome.exitCode,
    )
    this.signal = outcome.signal ?? null
    this.stderr = outcome.stderr
  }
}

const FAMILY = { DaemonError, OptionError, SystemCallError, AlreadyRunningError, StartError }
for (const [name, member] of Object.entries(FAMILY)) brand(member, name)

/** Makes the error that a refusal of the core stands for. */
export function errorOf(refusal: Refusal): DaemonError {
  const { kind, path = '', pid = null, step, syscall, errno, detail } = refusal
  switch (kind) {
    case 'running':
      return new AlreadyRunningError(path, pid)
    case 'blocked':
      return new DaemonError(
        `${path} is blocked by a reader${pid === null ? '' : ` (pid ${pid})`}: it holds a read lock on the pid file`,
        'ERR_DAEMON_BLOCKED',
      )
    case 'not-running':
      return notRunning(path)
    case 'unverified':
      return new DaemonError(
        `${path}: ${detail}${pid === null ? '' : ` (pid ${pid})`}; nothing was signalled`,
        'ERR_DAEMON_UNVERIFIED',
      )
    case 'system':
      return new SystemCallError({
        step: step ?? '',
        syscall: syscall ?? '',
        errno: errno ?? 0,
        path: refusal.path,
        detail,
      })
  }
}

/** Makes the error of a call that needs a running daemon. Exit code 7 is the LSB's for "program is not running". */
export function notRunning(path: string, cause?: unknown): DaemonError {
  return new DaemonError(`not running (${path})`, 'ERR_DAEMON_NOT_RUNNING', 7, cause === undefined ? {} : { cause })
}

/**
 * Runs one of Node's own file system calls as a step of a start.
 * @throws SystemCallError what the call failed with
 */
export function during<T>(step: string, path: string, action: () => T): T {
  try {
    return action()
  } catch (error) {
    const { errno, syscall, detail } = error as NodeJS.ErrnoException & { detail?: string }
    if (errno === undefined) throw error
    const failure = new SystemCallError({ step, syscall: syscall ?? step, errno: Math.abs(errno), path, detail })
    failure.cause = error
    throw failure
  }
}

/** Gives the name of an errno (positive): `ENOENT` for 2. */
export function errnoName(errno: number): string {
  return describeErrno(errno)[0]
}

function exitCodeOf({ step, errno }: SystemCall): number {
  if (step !== 'exec') return 1
  return errnoName(errno) === 'ENOENT' ? 127 : 126
}

function withStderr(message: string, stderr: string): string {
  const text = stderr.trimEnd()
  return text ? `${message}; it wrote:\n${text.replaceAll(/^/gm, '    ')}` : message
}
