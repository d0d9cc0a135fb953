// One family of errors with stable codes; every message tells a person what to do next.
import { getSystemErrorMap } from 'node:util'
import type { Refusal } from '#native'
import { explain, type SystemCall } from './explain.js'

/** What every error of ours is. `code` is stable; `exitCode` is what a command should exit with, never 0. */
export class DaemonError extends Error {
  readonly code: string
  readonly exitCode: number

  constructor(message: string, code: string, exitCode = 1, options?: ErrorOptions) {
    super(message, options)
    this.name = new.target.name
    this.code = code
    this.exitCode = exitCode
  }
}

/** An option is wrong; nothing was started. `option` is its path, such as `listen.http`. */
export class OptionError extends DaemonError {
  declare readonly code: 'ERR_DAEMON_OPTION'
  readonly option: string

  constructor(option: string, message: string) {
    super(message, 'ERR_DAEMON_OPTION', 2)
    this.option = option
  }
}

/** A system call failed: errno (positive) and the name of the call as in section 2 of the manual, at a named step. */
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

/** The pid file is locked. `pid` is the owner's, null where it is just starting. */
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

/** The daemon ended, or was not ready in time. `exitCode`: its own; 128 + N for signal N; 1 if it was 0; 124: too late. */
export class StartError extends DaemonError {
  declare readonly code: 'ERR_DAEMON_START' | 'ERR_DAEMON_START_TIMEOUT'
  readonly signal: NodeJS.Signals | null
  /** The end of what it wrote to stderr, at most 64 KiB. */
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

/** The error that a refusal of the core stands for. */
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
      return new DaemonError(`not running (${path})`, 'ERR_DAEMON_NOT_RUNNING', 7)
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

/** Runs `action`, and throws what Node's own call failed with as a SystemCallError of `step`. */
export function during<T>(step: string, path: string, action: () => T): T {
  try {
    return action()
  } catch (error) {
    const { errno, syscall } = error as NodeJS.ErrnoException
    if (errno === undefined) throw error
    const failure = new SystemCallError({ step, syscall: syscall ?? step, errno: Math.abs(errno), path })
    failure.cause = error
    throw failure
  }
}

export function errnoName(errno: number): string {
  return getSystemErrorMap().get(-errno)?.[0] ?? `errno ${errno}`
}

function exitCodeOf({ step, errno }: SystemCall): number {
  if (step !== 'exec') return 1
  return errnoName(errno) === 'ENOENT' ? 127 : 126
}

function withStderr(message: string, stderr: string): string {
  const text = stderr.trimEnd()
  return text ? `${message}; it wrote:\n${text.replaceAll(/^/gm, '    ')}` : message
}
