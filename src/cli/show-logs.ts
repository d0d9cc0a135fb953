// logs: the last lines of what daemons wrote, and what they write from now on.
import { existsSync } from 'node:fs'
import { targetsOf } from './chosen-targets.js'
import { reportFailure } from './failures.js'
import { follow } from './follow.js'
import type { Invocation } from './invocation.js'
import { DaemonError, during, logPath, readLastState, status as statusOf, visible } from './library.js'
import { type Line, LONGEST_LINE, logEnd, merged, opened, timeOf } from './log-lines.js'
import { unexpected } from './parse-value.js'
import { isTerminal, type Output, writeOrEnd } from './print.js'
import { absence, everyTarget, type Target } from './targets.js'
import { UsageError } from './usage.js'

/** How many of the last lines are shown unless --lines says otherwise. */
const LINES = 100
/** How many lines are written at once. */
const AT_ONCE = 200

/** A log file of one of the targets. */
interface LogFile {
  target: Target
  path: string
  /** The text before each line, which tells several files apart; '' for a single one. */
  label: string
}

type LabelledLine = Line & { label: string }

/** Carries out `logs`, and returns the exit code; with --follow it goes on until it is interrupted. */
export async function logs(invocation: Invocation, output: Output): Promise<number> {
  const { options } = invocation
  const count = options.get<number>('lines') ?? (options.has('since') ? Number.POSITIVE_INFINITY : LINES)
  if (count < 0) throw unexpected('--lines', 'a whole number from 0', String(count))
  const since = options.get<number>('since')
  if (options.has('timestamps') && !options.has('follow')) {
    throw new UsageError('Expected --timestamps with --follow: when a line arrived earlier is not kept', 'logs')
  }
  const isListing = invocation.words.length === 0 && !options.has('config')
  const targets = isListing ? everyTarget() : await targetsOf(invocation)
  if (targets.length === 0) output.note('no daemons')
  const found: LogFile[][] = []
  let exitCode = 0
  for (const target of targets) {
    let files: LogFile[] = []
    try {
      files = await filesOf(target)
      if (files.length === 0 && !isListing) throw new DaemonError(await whyNoLog(target), 'ERR_DAEMON_LOG')
    } catch (error) {
      exitCode = Math.max(exitCode, reportFailure(error, target, output, options))
    }
    found.push(files)
  }
  const starts = labelled(found, targets).flatMap(file => {
    try {
      // Stays open: the file may be rotated before it is followed.
      const fd = opened(file.path)
      const { lines, end, hasTimes } = during('log', file.path, () => logEnd(fd, count, since))
      if (since !== undefined && !hasTimes && end > 0) {
        output.note(`${file.path}: no line begins with a time: --since leaves nothing out`)
      }
      return [{ file, lines: () => labelledLines(lines(), file.label), fd, end }]
    } catch (error) {
      exitCode = Math.max(exitCode, reportFailure(error, file.target, output, options))
      return []
    }
  })
  showLast(count, () => merged(starts.map(({ lines }) => lines())))
  if (!options.has('follow') || starts.length === 0) return exitCode
  await follow(
    starts.map(({ file: { path, label }, fd, end }) => ({
      path,
      fd,
      end,
      print: text => show([{ text: options.has('timestamps') ? stamped(text) : text, label }]),
    })),
    message => output.note(message),
  )
  return 0
}

/** Puts the present time before a line that begins with none. */
function stamped(text: string): string {
  return Number.isNaN(timeOf(text)) ? `${new Date().toISOString()} ${text}` : text
}

/** Shows the last `count` of the lines, which are read once more for that rather than kept. */
function showLast(count: number, read: () => Iterable<LabelledLine>): void {
  let surplus = -count
  if (count !== Number.POSITIVE_INFINITY) for (const _ of read()) surplus += 1
  let shown: LabelledLine[] = []
  let length = 0
  for (const line of read()) {
    surplus -= 1
    if (surplus >= 0) continue
    shown.push(line)
    length += line.text.length
    if (shown.length < AT_ONCE && length < LONGEST_LINE) continue
    show(shown)
    shown = []
    length = 0
  }
  show(shown)
}

function* labelledLines(lines: Iterable<Line>, label: string): Generator<LabelledLine> {
  for (const line of lines) yield { ...line, label }
}

function show(lines: readonly Pick<LabelledLine, 'text' | 'label'>[]): void {
  if (lines.length === 0) return
  const shown = isTerminal(1) ? (text: string) => visible(text.replace(/\r$/, '')) : (text: string) => text
  writeOrEnd(lines.map(({ text, label }) => `${label}${shown(text)}\n`).join(''))
}

/** Lists the log files of a running daemon; of another one, those of its last run, or the default log. */
async function filesOf(target: Target): Promise<LogFile[]> {
  const running = (await statusOf(target.path)).logs
  const last = running.length > 0 ? running : (readLastState(target.path)?.logs ?? [])
  const standard = logPath(target.name)
  const paths = last.length > 0 ? last : existsSync(standard) ? [standard] : []
  return paths.map(path => ({ target, path, label: '' }))
}

async function whyNoLog(target: Target): Promise<string> {
  const { state } = await statusOf(target.path)
  const isRunning = state === 'running' || state === 'starting'
  return isRunning
    ? 'it has no log: it was started without one, or its output goes to a descriptor of its caller'
    : `no log ${logPath(target.name)}, and not running (${absence(target)})`
}

/** Labels the files: `NAME`, and `out` or `err` where a daemon has two. */
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
