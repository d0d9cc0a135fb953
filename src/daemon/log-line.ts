// The lines that this library itself writes into the daemon's log.
import type { Console } from 'node:console'
import { native } from '../binding/addon.js'
import { DaemonError } from '../errors/classes.js'
import type { Detail } from '../options/verbosity.js'

/** How grave a line is, or how much of a detail. */
export type LogLevel = Detail | 'warning' | 'error'

let stderr: Console | undefined

/** Priorities of syslog(3), by level. */
const PRIORITIES: Readonly<Record<LogLevel, number>> = { error: 3, warning: 4, info: 6, debug: 7, trace: 7 }

/**
 * Writes one line on stderr: `2026-01-31T12:00:00.000Z NAME[PID] info: TEXT`; for the journal with its priority. It never fails:
 * the reader may be gone.
 */
export function logLine(name: string, level: LogLevel, text: string): void {
  // Under an internet superserver stderr is the client's connection.
  if (native.contextFacts().oneSocketForStdio) return
  // A Console takes errors of its stream upon itself, those that come later too; the program may have replaced the global one.
  stderr ??= new (process.getBuiltinModule('node:console').Console)(process.stderr)
  const line = `${new Date().toISOString()} ${name}[${process.pid}] ${level}: ${text}`
  stderr.log('%s', isJournal() ? withPriority(line, PRIORITIES[level]) : line)
}

/** Whether stderr leads to the journal: systemd.exec(5). It may have been exchanged for a log file since the start. */
function isJournal(): boolean {
  const { JOURNAL_STREAM } = process.env
  return JOURNAL_STREAM !== undefined && native.isJournalStream(2, JOURNAL_STREAM)
}

/** Begins every line with its priority, as sd-daemon(3) has it: the journal makes an entry of each. */
function withPriority(text: string, priority: number): string {
  return text.replaceAll(/^/gm, `<${priority}>`)
}

/** Describes what a program's function threw: errors of this library by their message, others with their stack. */
export function describeError(error: unknown): string {
  if (error instanceof DaemonError) return error.message
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
