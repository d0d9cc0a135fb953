// status: a table of daemons, printed once or redrawn with --watch.
import { setTimeout as delay } from 'node:timers/promises'
import { targetsOf } from './chosen-targets.js'
import { extra } from './extra.js'
import type { Invocation } from './invocation.js'
import { DaemonError, json, readLastState, removeRecord, status as statusOf, unlockedProcess } from './library.js'
import { columns, hasColors, isTerminal, type Output, write, writeOrEnd } from './print.js'
import { probe } from './probe.js'
import type { Row } from './table.js'
import { absence, everyTarget, nearest, type Target } from './targets.js'
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
  cleanUp(rows.filter(isLeftover), options.has('clean'), output)
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

/** Returns the exit code of the LSB: 0 running, 1 failing, failed or dead, 3 stopped, 4 unknown. */
function exitCodeOf({ state }: Row): number {
  if (state === 'unknown') return 4
  if (state === 'stopped') return 3
  return state === 'failing' || state === 'failed' || state === 'dead' ? 1 : 0
}

/** Notes why a daemon isn't running or can't be looked at. */
function explainAbsent(rows: readonly Row[], output: Output): void {
  for (const row of rows) {
    if (row.state === 'unknown') output.note(`${row.name}: ${row.error.message}`)
    else if (row.state === 'failed' || row.state === 'dead' || row.state === 'stopped') {
      const target = { name: row.name, path: row.pidFile }
      output.note(`${row.name}: not running (${absence(target)}${nearest(target)})`)
    }
  }
}

/** Tells whether a daemon that doesn't run left its pid file or its state file behind. */
function isLeftover({ state, pidFile }: Row): boolean {
  if (state === 'failed' || state === 'dead') return unlockedProcess(pidFile) === null
  return state === 'stopped' && readLastState(pidFile) !== null
}

/** Removes what daemons left that don't run where --clean was given; else says how to. */
function cleanUp(leftovers: readonly Row[], isAsked: boolean, output: Output): void {
  if (leftovers.length === 0) return
  if (!isAsked) {
    const names = leftovers.map(({ name }) => name).join(', ')
    if (!output.isJson) {
      output.note(
        `not running any more: ${names}; \`daemonic restart NAME\` starts one again, \`daemonic status --clean\` forgets them`,
      )
    }
    return
  }
  for (const { name, pidFile } of leftovers) {
    removeRecord(pidFile)
    output.note(`${name}: removed what it left (${pidFile})`)
  }
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
