// status: a table of daemons, once or again and again.

import { rmSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { DaemonError } from '../errors/classes.js'
import { PidLock } from '../pid-lock.js'
import { companionsOf, readLastState } from '../running/state-file.js'
import { targetsOf } from './actions.js'
import { extra } from './extra.js'
import { status as statusOf } from './library.js'
import type { Invocation } from './parse.js'
import { columns, hasColors, isTerminal, type Output, write, writeOrEnd } from './print.js'
import type { Row } from './row.js'
import { absence, everyTarget, type Target } from './targets.js'
import { UsageError } from './usage.js'

const WATCH_EVERY = 1_000

export async function status(invocation: Invocation, output: Output): Promise<number> {
  const { options } = invocation
  const isListing = invocation.words.length === 0 && !options.has('config')
  const targets = isListing ? () => everyTarget() : await targetsOf(invocation).then(found => () => found)
  if (options.has('watch')) return watch(targets, output)

  const rows = await rowsOf(targets())
  const exitCode = isListing ? 0 : Math.max(0, ...rows.map(exitCodeOf))
  if (output.isJson) {
    write(1, `${JSON.stringify({ version: 1, daemons: rows })}\n`)
  } else if (rows.length === 0) {
    output.note('no daemons; `daemonic start SCRIPT` starts one')
  } else if (!options.has('quiet')) {
    const { table } = extra('table')
    write(1, table(rows, { width: columns(1), hasColors: hasColors(1) }))
    if (!isListing) tellWhy(rows, output)
  }
  await clean(rows.filter(isLeftover), options.has('clean'), output)
  return exitCode
}

/** One after the other: each takes less than a millisecond. */
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

/** The LSB's: 0 running, 1 dead with a pid file, 3 not running, 4 unknown. */
function exitCodeOf(row: Row): number {
  if (row.state === 'unknown') return 4
  if (row.state === 'absent') return 3
  if (row.state === 'free') return row.pid === null ? 3 : 1
  return 0
}

function tellWhy(rows: readonly Row[], output: Output): void {
  for (const row of rows) {
    if (row.state === 'unknown') output.note(`${row.name}: ${row.error.message}`)
    else if (row.state === 'absent' || row.state === 'free') {
      output.note(`${row.name}: not running (${absence({ name: row.name, path: row.pidFile })})`)
    }
  }
}

function isLeftover(row: Row): boolean {
  return row.state === 'free' && (row.pid !== null || readLastState(row.pidFile) !== null)
}

async function clean(leftovers: readonly Row[], isAsked: boolean, output: Output): Promise<void> {
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
    remove(row)
    output.note(`${row.name}: removed ${row.pidFile}`)
  }
}

/** Under the lock: one that is being started is not touched. */
function remove({ pidFile }: Row): void {
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
    new Promise<string>(done => dialog.once('close', () => done(''))),
  ])
  dialog.close()
  return /^y(es)?$/i.test(answer.trim())
}

async function watch(targets: () => readonly Target[], output: Output): Promise<number> {
  if (output.isJson) {
    for (;;) {
      writeOrEnd(`${JSON.stringify({ version: 1, daemons: await rowsOf(targets()) })}\n`)
      await delay(WATCH_EVERY)
    }
  }
  if (!isTerminal(1)) throw new UsageError('Expected --watch on a terminal, or with --json', 'status')
  const { Screen } = extra('screen')
  const screen = new Screen({ hasColors: hasColors(1) })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      screen.done()
      process.exit(0)
    })
  }
  for (;;) {
    screen.show(await rowsOf(targets()), columns(1), process.stdout.rows)
    await delay(WATCH_EVERY)
  }
}
