// status: a table of daemons, printed once or redrawn with --watch.
import { rmSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { targetsOf } from './chosen-targets.js'
import { extra } from './extra.js'
import type { Invocation } from './invocation.js'
import {
  companionsOf,
  DaemonError,
  json,
  PidLock,
  readLastState,
  status as statusOf,
  unlockedProcess,
} from './library.js'
import { columns, hasColors, isTerminal, type Output, write, writeOrEnd } from './print.js'
import { probe } from './probe.js'
import type { Row } from './table.js'
import { absence, everyTarget, type Target } from './targets.js'
import { UsageError } from './usage.js'

/** How often --watch looks, in milliseconds. */
const WATCH_EVERY = 1_000

/** Carries out `status`, and returns the exit code that the LSB gives for the worst daemon. */
export async function status(invocation: Invocation, output: Output): Promise<number> {
  const { options } = invocation
  if (options.has('probe')) return probe(invocation)
  const isListing = invocation.words.length === 0 && !options.has('config')
  const targets = isListing ? () => everyTarget() : await targetsOf(invocation).then(found => () => found)
  if (options.has('watch')) return watch(targets, output)

  const rows = await rowsOf(targets())
  const exitCode = isListing ? 0 : Math.max(0, ...rows.map(exitCodeOf))
  if (output.isJson) {
    write(1, `${json({ version: 1, daemons: rows })}\n`)
  } else if (rows.length === 0) {
    output.note('no daemons; `daemonic start SCRIPT` starts one')
  } else if (!options.has('quiet')) {
    const { table } = extra('table')
    write(1, table(rows, { width: columns(1), hasColors: hasColors(1) }))
    if (!isListing) explainAbsent(rows, output)
  }
  await offerCleaning(rows.filter(isLeftover), options.has('clean'), output)
  return exitCode
}

/** Looks at one daemon after the other: each takes less than a millisecond. */
async function rowsOf(targets: readonly Target[]): Promise<Row[]> {
  const rows: Row[] = []
  for (const target of targets) rows.push(await rowOf(target))
  return rows
}

async function rowOf({ name, path }: Target): Promise<Row> {
  try {
    return { ...(await statusOf(path)), name, pidFile: path }
  } catch (error) {
    if (!(error instanceof DaemonError)) throw error
    return { name, state: 'unknown', pidFile: path, error: { code: error.code, message: error.message } }
  }
}

/** Returns the exit code of the LSB: 0 running, 1 dead with a pid file, 3 not running, 4 unknown. */
function exitCodeOf(row: Row): number {
  if (row.state === 'unknown') return 4
  if (row.state === 'absent') return 3
  if (row.state === 'free') return row.pid === null ? 3 : 1
  return 0
}

/** Notes why a daemon isn't running or can't be looked at. */
function explainAbsent(rows: readonly Row[], output: Output): void {
  for (const row of rows) {
    if (row.state === 'unknown') output.note(`${row.name}: ${row.error.message}`)
    else if (row.state === 'absent' || row.state === 'free') {
      output.note(`${row.name}: not running (${absence({ name: row.name, path: row.pidFile })})`)
    }
  }
}

/** Tells whether a crashed daemon left its pid file or its state file behind. */
function isLeftover(row: Row): boolean {
  if (unlockedProcess(row.pidFile) !== null) return false
  return row.state === 'free' && (row.pid !== null || readLastState(row.pidFile) !== null)
}

/** Removes the files of crashed daemons where --clean was given or the user agrees; else says how to. */
async function offerCleaning(leftovers: readonly Row[], isAsked: boolean, output: Output): Promise<void> {
  if (leftovers.length === 0) return
  const names = leftovers.map(({ name }) => name).join(', ')
  const isOffered = !isAsked && !output.isJson && isTerminal(0) && isTerminal(1)
  if (!isAsked && !isOffered) {
    if (!output.isJson)
      output.note(`left by crashed daemons: ${names}; \`daemonic status --clean\` removes their files`)
    return
  }
  if (isOffered && !(await isAgreed(`left by crashed daemons: ${names}; remove their files? [y/N] `))) return
  for (const row of leftovers) {
    removeFiles(row)
    output.note(`${row.name}: removed ${row.pidFile}`)
  }
}

/** Removes a crashed daemon's files while it holds the lock, so that those of a start that comes now are left alone. */
function removeFiles({ pidFile }: Row): void {
  const companions = companionsOf(pidFile)
  const lock = PidLock.acquire(pidFile)
  for (const path of companions) rmSync(path, { force: true })
  lock.release()
}

async function isAgreed(question: string): Promise<boolean> {
  const { createInterface } = await import('node:readline/promises')
  const dialog = createInterface({ input: process.stdin, output: process.stderr })
  const answer = await Promise.race([
    dialog.question(question),
    new Promise<string>(resolve => dialog.once('close', () => resolve(''))),
  ])
  dialog.close()
  return /^y(es)?$/i.test(answer.trim())
}

async function watch(targets: () => readonly Target[], output: Output): Promise<number> {
  if (output.isJson) {
    for (;;) {
      writeOrEnd(`${json({ version: 1, daemons: await rowsOf(targets()) })}\n`)
      await delay(WATCH_EVERY)
    }
  }
  if (!isTerminal(1)) throw new UsageError('Expected --watch on a terminal, or with --json', 'status')
  const { Screen } = extra('screen')
  const screen = new Screen({ hasColors: hasColors(1) })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      screen.finish()
      process.exit(0)
    })
  }
  for (;;) {
    screen.show(await rowsOf(targets()), columns(1), process.stdout.rows)
    await delay(WATCH_EVERY)
  }
}
