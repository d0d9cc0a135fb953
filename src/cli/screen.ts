// status --watch: redraws the table in place, with charts of what was seen before.
import { createLogUpdate } from 'log-update'
import { cpuTime, type History, memory, type Row, table } from './table.js'

/** How many values a chart shows. */
const CHART = 12

/** What was seen of one daemon until now, and the counters at the last look. */
interface Past {
  cpu: number[]
  memory: number[]
  /** Milliseconds of CPU time, and the moment in milliseconds, at the last look. */
  cpuTime: number
  time: number
}

/** The terminal that --watch draws on. */
export class Screen {
  readonly #update = createLogUpdate(process.stdout)
  readonly #hasColors: boolean
  readonly #past = new Map<string, Past>()

  constructor({ hasColors }: { hasColors: boolean }) {
    this.#hasColors = hasColors
  }

  /** Draws the table over the last one; what the height leaves no room for is counted. */
  show(rows: readonly Row[], width: number, height = 24): void {
    const histories = new Map(rows.map(row => [row.pidFile, this.#remember(row)]))
    // Three lines are taken: the title, the count of the rest, and the cursor's.
    const room = Math.max(1, height - 3)
    const rest = rows.length - room
    const text =
      rows.length === 0 ? 'no daemons\n' : table(rows.slice(0, room), { width, hasColors: this.#hasColors }, histories)
    this.#update(`${text.trimEnd()}${rest > 0 ? `\nand ${rest} more` : ''}`)
  }

  /** Stops drawing; the last table stays on the terminal. */
  finish(): void {
    this.#update.done()
  }

  #remember(row: Row): History {
    const now = { cpuTime: cpuTime(row), time: performance.now() }
    const past = this.#past.get(row.pidFile)
    const used = past ? Math.max(0, now.cpuTime - past.cpuTime) : 0
    const cpu = past ? [...past.cpu, (100 * used) / Math.max(1, now.time - past.time)] : []
    const next = { ...now, cpu: cpu.slice(-CHART), memory: [...(past?.memory ?? []), memory(row)].slice(-CHART) }
    this.#past.set(row.pidFile, next)
    return next
  }
}
