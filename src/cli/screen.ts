// status --watch: the table in place, with what was seen before as charts.
import { createLogUpdate } from 'log-update'
import type { Row } from './row.js'
import { cpuTime, type History, memory, table } from './table.js'

/** How many values a chart shows. */
const CHART = 12

interface Past {
  cpu: number[]
  memory: number[]
  /** At the last look. */
  cpuTime: number
  time: number
}

export class Screen {
  readonly #update = createLogUpdate(process.stdout)
  readonly #hasColors: boolean
  readonly #past = new Map<string, Past>()

  constructor({ hasColors }: { hasColors: boolean }) {
    this.#hasColors = hasColors
  }

  show(rows: readonly Row[], width: number, height = 24): void {
    const histories = new Map(rows.map(row => [row.pidFile, this.#remember(row)]))
    // The title, a line that tells of the rest, and where the cursor stands.
    const room = Math.max(1, height - 3)
    const rest = rows.length - room
    const text =
      rows.length === 0 ? 'no daemons\n' : table(rows.slice(0, room), { width, hasColors: this.#hasColors }, histories)
    this.#update(`${text.trimEnd()}${rest > 0 ? `\nand ${rest} more` : ''}`)
  }

  /** Leaves what was drawn last. */
  done(): void {
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
