// logs: the last lines of what daemons wrote, and what they write from now on.
import { existsSync } from 'node:fs'
import { DaemonError, during } from '../errors/classes.js'
import { logPath } from '../running/paths.js'
import { readLastState } from '../running/state-file.js'
import { failure, targetsOf } from './actions.js'
import { follow } from './follow.js'
import { status as statusOf } from './library.js'
import { type Line, lastLines, merged, opened } from './log-lines.js'
import type { Invocation } from './parse.js'
import { unexpected } from './parse-value.js'
import { type Output, writeOrEnd } from './print.js'
import { absence, type Target } from './targets.js'

const LINES = 100

interface LogFile {
  target: Target
  path: string
  /** Before each line, where there are several files. */
  label: string
}

export async function logs(invocation: Invocation, output: Output): Promise<number> {
  const { options } = invocation
  const count = options.get<number>('lines') ?? (options.has('since') ? Number.POSITIVE_INFINITY : LINES)
  if (count < 0) throw unexpected('--lines', 'a whole number from 0', String(count))
  const since = options.get<number>('since')
  const targets = await targetsOf(invocation)
  const found: LogFile[][] = []
  let exitCode = 0
  for (const target of targets) {
    let files: LogFile[] = []
    try {
      files = await filesOf(target)
      if (files.length === 0) throw new DaemonError(await whyNone(target), 'ERR_DAEMON_LOG')
    } catch (error) {
      exitCode = Math.max(exitCode, failure(error, target, output, options))
    }
    found.push(files)
  }
  const starts = labelled(found, targets).flatMap(file => {
    try {
      // Open from here on: it may be rotated before it is followed.
      const fd = opened(file.path)
      const { lines, end, hasTimes } = during('log', file.path, () => lastLines(fd, count, since))
      if (since !== undefined && !hasTimes && lines.length > 0) {
        output.note(`${file.path}: no line begins with a time: --since leaves nothing out`)
      }
      return [{ file, lines: lines.map(line => ({ ...line, label: file.label })), fd, end }]
    } catch (error) {
      exitCode = Math.max(exitCode, failure(error, file.target, output, options))
      return []
    }
  })
  show(merged(starts.map(({ lines }) => lines)).slice(count === 0 ? Number.POSITIVE_INFINITY : -count))
  if (!options.has('follow') || starts.length === 0) return exitCode
  await follow(
    starts.map(({ file: { path, label }, fd, end }) => ({ path, fd, end, print: text => show([{ text, label }]) })),
    message => output.note(message),
  )
  return 0
}

function show(lines: readonly (Pick<Line, 'text'> & { label: string })[]): void {
  if (lines.length > 0) writeOrEnd(lines.map(({ text, label }) => `${label}${text}\n`).join(''))
}

/** Of one that runs, what it says; else what it said last, or the default. */
async function filesOf(target: Target): Promise<LogFile[]> {
  const running = (await statusOf(target.path)).logs
  const last = running.length > 0 ? running : (readLastState(target.path)?.logs ?? [])
  const standard = logPath(target.name)
  const paths = last.length > 0 ? last : existsSync(standard) ? [standard] : []
  return paths.map(path => ({ target, path, label: '' }))
}

async function whyNone(target: Target): Promise<string> {
  const { state } = await statusOf(target.path)
  const isRunning = state === 'running' || state === 'starting'
  return isRunning
    ? 'it has no log: it was started without one, or its output goes to what it was given'
    : `no log ${logPath(target.name)}, and not running (${absence(target)})`
}

function labelled(found: readonly LogFile[][], targets: readonly Target[]): LogFile[] {
  const isOne = found.flat().length < 2
  return found.flatMap((files, index) =>
    files.map(file => {
      const { name } = targets[index] ?? { name: '' }
      const which = files.length < 2 ? '' : file === files[0] ? ' out' : ' err'
      const label = targets.length < 2 ? which.trim() : `${name}${which}`
      return { ...file, label: isOne ? '' : `${label} | ` }
    }),
  )
}
