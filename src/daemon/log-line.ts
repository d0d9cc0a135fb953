// The lines that this library itself writes into the daemon's log.
import type { Console } from 'node:console'
import { native } from '../binding/addon.js'
import { DaemonError } from '../errors/classes.js'
import type { Detail } from '../options/verbosity.js'

/** How grave a line is, or how much of a detail. */
export type LogLevel = Detail | 'warning' | 'error'

let stderr: Console | undefined

/** Writes one line on stderr: `2026-01-31T12:00:00.000Z NAME[PID] info: TEXT`. It never fails: the reader may be gone. */
export function logLine(name: string, level: LogLevel, text: string): void {
  // Under an internet superserver stderr is the client's connection.
  if (native.contextFacts().oneSocketForStdio) return
  // A Console takes errors of its stream upon itself, those that come later too; the program may have replaced the global one.
  stderr ??= new (process.getBuiltinModule('node:console').Console)(process.stderr)
  stderr.log('%s', `${new Date().toISOString()} ${name}[${process.pid}] ${level}: ${text}`)
}

/** Describes what a program's function threw: errors of this library by their message, others with their stack. */
export function describeError(error: unknown): string {
  if (error instanceof DaemonError) return error.message
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
