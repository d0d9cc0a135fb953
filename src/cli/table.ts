// The table of `status`, as wide as the terminal: columns that don't fit are left out, the least important first.
import { styleText } from 'node:util'
import measure from 'fast-string-truncated-width'
import type { Look } from './help.js'
import { type DaemonStatus, plain } from './library.js'
import { ago, duration, size } from './units.js'

/** What `status` found out about a target, or why it could not. */
export type Row = (DaemonStatus & { pidFile: string }) | Unknown

/** A target that could not be looked at. */
interface Unknown {
  name: string
  state: 'unknown'
  pidFile: string
  error: { code: string; message: string }
}

interface Column {
  title: string
  /** The order of leaving out: where the columns don't all fit, the one with the highest number goes first. */
  dispensable: number
  /** Whether it is shown even if it is empty in every row. */
  isAlwaysShown?: true
  isRight?: boolean
  text(row: Row, history: History | undefined): string
}

/** What --watch has seen of one daemon, oldest first. */
export interface History {
  /** Percent of one CPU. */
  cpu: readonly number[]
  /** Bytes. */
  memory: readonly number[]
}

const GAP = '  '
const NONE = '-'
/** The least width at which a column can be read. */
const NARROWEST = 4

const COLUMNS: readonly Column[] = [
  { title: 'NAME', dispensable: 0, isAlwaysShown: true, text: row => row.name },
  { title: 'PID', dispensable: 5, isAlwaysShown: true, isRight: true, text: row => textOf(row, ({ pid }) => pid) },
  { title: 'STATE', dispensable: 1, isAlwaysShown: true, text: row => row.state },
  {
    title: 'UPTIME',
    dispensable: 6,
    isRight: true,
    text: row => textOf(row, ({ uptime }) => uptime && duration(uptime)),
  },
  { title: 'WORKERS', dispensable: 2, isRight: true, text: row => textOf(row, workers) },
  {
    title: 'RESTARTS',
    dispensable: 3,
    isRight: true,
    text: row => textOf(row, ({ wantedWorkers, restarts }) => (wantedWorkers === null ? null : restarts)),
  },
  {
    title: 'MEMORY',
    dispensable: 7,
    isRight: true,
    text: row => textOf(row, () => (memory(row) > 0 ? size(memory(row)) : null)),
  },
  { title: '', dispensable: 10, text: (_, history) => chart(history?.memory) },
  { title: 'CPU', dispensable: 8, isRight: true, text: (row, history) => cpuText(row, history) },
  { title: '', dispensable: 10, text: (_, history) => chart(history?.cpu) },
  {
    title: 'LISTENING',
    dispensable: 9,
    text: row => textOf(row, ({ addresses }) => Object.values(addresses).join(' ')),
  },
  { title: 'STATUS', dispensable: 4, text: statusText },
]

/** Lays out the table; it ends with a newline. `histories`, by pid file, become charts. */
export function table(rows: readonly Row[], look: Look, histories?: ReadonlyMap<string, History>): string {
  const cells = COLUMNS.map(column => ({
    column,
    texts: rows.map(row => plain(column.text(row, histories?.get(row.pidFile)))),
  }))
  // A column that is empty in every row is left out.
  const used = cells.filter(
    ({ texts, column }) => column.isAlwaysShown || texts.some(text => text !== NONE && text !== ''),
  )
  const widths = new Map(used.map(each => [each, Math.max(...[each.column.title, ...each.texts].map(widthOf))]))
  for (const cell of used) {
    if (cell.column.title === 'NAME') widths.set(cell, Math.min(widths.get(cell) ?? 0, longestName(look.width)))
  }
  const shown = fitting(used, widths, look.width)
  const line = (text: (cell: (typeof cells)[number]) => string) =>
    shown
      .map(cell => padded(text(cell), widths.get(cell) ?? 0, cell.column.isRight))
      .join(GAP)
      .trimEnd()
  const title = line(({ column }) => column.title)
  const lines = rows.map((row, index) =>
    colored(
      line(({ texts }) => texts[index] ?? ''),
      row,
      look,
    ),
  )
  return `${[look.hasColors ? style('bold', title) : title, ...lines].join('\n')}\n`
}

/** Returns how wide the column of names may be: a third, so that the other columns have room. */
function longestName(width: number): number {
  return Math.max(NARROWEST, Math.floor(width / 3))
}

/**
 * Leaves out the most dispensable columns until the rest fits. The text of STATUS is narrowed first, to a third, and any
 * column of free text before it is left out.
 */
function fitting<C extends { column: Column }>(cells: readonly C[], widths: Map<C, number>, limit: number): C[] {
  const total = (some: readonly C[]) =>
    some.reduce((sum, cell) => sum + (widths.get(cell) ?? 0), GAP.length * (some.length - 1))
  let shown = [...cells]
  const status = cells.find(({ column }) => column.title === 'STATUS')
  const wide = status ? (widths.get(status) ?? 0) : 0
  if (status)
    widths.set(status, Math.max(Math.min(wide, Math.floor(limit / 3)), wide - Math.max(0, total(cells) - limit)))
  for (;;) {
    const excess = total(shown) - limit
    if (excess <= 0) return shown
    const last = shown.toSorted((a, b) => b.column.dispensable - a.column.dispensable)[0]
    if (!last) return shown
    const width = widths.get(last) ?? 0
    const least = Math.max(NARROWEST, widthOf(last.column.title))
    const isText = last.column.title === 'STATUS' || last.column.title === 'LISTENING' || last.column.dispensable === 0
    if (isText && (width - excess >= least || shown.length === 1)) {
      widths.set(last, Math.max(1, width - excess))
      return shown
    }
    shown = shown.filter(cell => cell !== last)
  }
}

function padded(text: string, width: number, isRight = false): string {
  const cut = cutTo(text, width)
  const space = ' '.repeat(Math.max(0, width - widthOf(cut)))
  return isRight ? space + cut : cut + space
}

function widthOf(text: string): number {
  return measure(text).width
}

function cutTo(text: string, limit: number): string {
  const { index, ellipsed } = measure(text, { limit, ellipsis: '…' })
  return ellipsed ? `${text.slice(0, index)}…` : text.slice(0, index)
}

function colored(line: string, { state }: Row, { hasColors }: Look): string {
  if (!hasColors || state === 'running') return line
  const isPassing = state === 'starting' || state === 'ending'
  return style(isPassing ? 'yellow' : state === 'stopped' ? 'dim' : 'red', line)
}

function style(format: 'bold' | 'yellow' | 'dim' | 'red', text: string): string {
  return styleText(format, text, { validateStream: false })
}

type Known = Exclude<Row, { state: 'unknown' }>

function textOf(row: Row, part: (row: Known) => string | number | null | undefined): string {
  if (row.state === 'unknown') return NONE
  const value = part(row)
  return value === null || value === undefined || value === '' ? NONE : String(value)
}

/** Counts the workers that are ready and, if that differs, those that there are to be: `3/4`. */
function workers({ workers, wantedWorkers }: Known): string | null {
  if (wantedWorkers === null) return null
  const ready = workers.filter(each => each.ready).length
  return ready === wantedWorkers ? String(ready) : `${ready}/${wantedWorkers}`
}

/** Says what goes or went wrong; else what the daemon says of itself. */
function statusText(row: Row): string {
  if (row.state === 'unknown') return row.error.message
  if (row.failure === null) return row.statusText ?? NONE
  const { lastExit, restartIn, exitCode, failedAt } = row.failure
  const why = lastExit ?? 'it could not be started'
  if (failedAt !== null) return `exit code ${exitCode}, ${ago(failedAt)}: ${why}`
  return restartIn === null ? why : `next start in ${duration(restartIn)}: ${why}`
}

/** Adds up the resident memory of a daemon's workers, in bytes. */
export function memory(row: Row): number {
  return row.state === 'unknown' ? 0 : row.workers.reduce((sum, { rss }) => sum + rss, 0)
}

/** Adds up the CPU time of a daemon's workers, in milliseconds. */
export function cpuTime(row: Row): number {
  return row.state === 'unknown' ? 0 : row.workers.reduce((sum, worker) => sum + worker.cpuTime, 0)
}

/** Shows the CPU usage: with --watch that of the last interval, else the average since the start. */
function cpuText(row: Row, history: History | undefined): string {
  const lately = history?.cpu.at(-1)
  if (lately !== undefined) return percent(lately)
  return textOf(row, ({ workers }) => {
    const time = Math.max(0, ...workers.map(({ uptime }) => uptime))
    return time > 0 ? percent((100 * cpuTime(row)) / time) : null
  })
}

function percent(value: number): string {
  return `${value < 10 ? value.toFixed(1) : Math.round(value)}%`
}

const BARS = '▁▂▃▄▅▆▇█'

/** Draws a bar for each value; the tallest stands for the highest value, the lowest for 0. */
function chart(values: readonly number[] = []): string {
  const highest = Math.max(...values, Number.EPSILON)
  return values.map(value => BARS[Math.round((value / highest) * (BARS.length - 1))]).join('')
}
