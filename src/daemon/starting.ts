// How a daemon's start ends: what readiness waits for, and how whoever started the daemon hears of it.
import { constants } from 'node:os'
import type { Arrival } from '#native'
import { errorOf } from '../errors/classes.js'
import type { PidLock } from '../pid-lock.js'
import type { LogLevel } from './log-line.js'

/** How the daemon was started. */
export interface StartedBy {
  pidFile: PidLock | null
  /** What the launcher or supervisor handed over; null in the foreground. */
  arrival: Arrival | null
  /** Whether the process that started this one may have exited by the time that this one is ready. */
  outlivesLauncher: boolean
}

/** What the end of a start needs of the daemon. */
export interface StartingDaemon {
  /** Called when all is there that readiness waits for, without a word of the program. */
  becomeReady(): void
  log(level: LogLevel, text: string): void
}

/** The start of this daemon, until it is ready. */
export class Starting {
  readonly #daemon: StartingDaemon
  readonly #startedBy: StartedBy
  readonly #servers: Promise<unknown>[] = []
  #turn: Promise<unknown> | null = null
  #isOver = false

  constructor(daemon: StartingDaemon, startedBy: StartedBy) {
    this.#daemon = daemon
    this.#startedBy = startedBy
  }

  /** True once the daemon is ready. */
  get isOver(): boolean {
    return this.#isOver
  }

  /** The process that ends the daemon should the launcher die before it is ready; undefined once it is. */
  get parent(): number | undefined {
    return this.#isOver ? undefined : this.#startedBy.arrival?.parent
  }

  /** Adds a server that readiness waits for, until it listens. */
  addServer(listening: Promise<unknown>): void {
    this.#servers.push(listening)
  }

  /** Makes the daemon ready once `turn` has come and every server listens; null: it has to say so itself. */
  readyAfter(turn: Promise<unknown> | null): void {
    this.#turn = turn
    void turn?.then(() => (this.#turn === turn ? this.#readyWhenServing() : undefined))
  }

  /**
   * Tells launcher or supervisor, and who waits for the pid file, that the daemon is ready. Exits with 1 where the
   * launcher was killed before it could tell anybody of this daemon. `byProgram`: the program said so itself.
   * @throws SystemCallError the channel to the launcher, or the pid file, fails
   */
  finish(byProgram: boolean): void {
    const { arrival, pidFile, outlivesLauncher } = this.#startedBy
    this.#isOver = true
    pidFile?.assertOwnership()
    const refusal = arrival?.ready(pidFile?.native, byProgram) ?? null
    if (!arrival) pidFile?.started()
    if (refusal && refusal.errno !== constants.errno.EPIPE) throw errorOf(refusal)
    if (refusal && !outlivesLauncher) {
      this.#daemon.log('error', 'the launcher ended before the daemon was ready')
      process.exit(1)
    }
  }

  async #readyWhenServing(): Promise<void> {
    // A server that can't listen rejects what serve() returned: the program handles that, or it is an uncaught error.
    const results = await Promise.allSettled(this.#servers)
    if (results.every(({ status }) => status === 'fulfilled')) this.#daemon.becomeReady()
  }
}
