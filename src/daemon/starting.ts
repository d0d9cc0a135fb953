// How a daemon's start ends: what readiness waits for, and how whoever started the daemon hears of it.
import { constants } from 'node:os'
import type { Arrival } from '#native'
import { errorOf } from '../errors/classes.js'
import type { Readiness } from '../options/readiness.js'
import type { PidLock } from '../pid-lock.js'
import { nextTurn } from '../process/next-turn.js'
import type { LogLevel } from './log-line.js'

/** Milliseconds after which a start says what it waits for: longer than most programs take to boot. */
const HINT_AFTER = 3_000

/** How the daemon was started. */
export interface StartedBy {
  pidFile: PidLock | null
  /** What the launcher or supervisor handed over; null in the foreground. */
  arrival: Arrival | null
  /** Whether the process that started this one may have exited by the time that this one is ready. */
  outlivesLauncher: boolean
  /** Resolves when the program's main module has been evaluated. */
  evaluated: Promise<void>
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
  readonly #served = new Set<string>()
  readonly #elsewhere: string[] = []
  readonly #hint: NodeJS.Timeout
  #rule: Readiness = 'manual'
  readonly #sockets: string[] = []
  #isEvaluated = false
  #hasTurned = false
  #hinted: string | null = null
  #isOver = false

  constructor(daemon: StartingDaemon, startedBy: StartedBy) {
    this.#daemon = daemon
    this.#startedBy = startedBy
    this.#hint = setTimeout(() => this.#sayWhatFor(), HINT_AFTER).unref()
    void startedBy.evaluated.then(() => {
      this.#isEvaluated = true
      this.#look()
    })
    // What is thrown beside the call comes before readiness.
    void nextTurn().then(() => {
      this.#hasTurned = true
      this.#look()
    })
  }

  /** True once the daemon is ready. */
  get isOver(): boolean {
    return this.#isOver
  }

  /** The process that ends the daemon should the launcher die before it is ready; undefined once it is. */
  get parent(): number | undefined {
    return this.#isOver ? undefined : this.#startedBy.arrival?.parent
  }

  /** Makes the daemon ready by this rule, undefined for the one that holds; `sockets` are added to those that it waits for. */
  waitFor(rule: Readiness | undefined, sockets: readonly string[]): void {
    this.#rule = rule ?? this.#rule
    this.#sockets.push(...sockets)
    this.#look()
  }

  /** Notes that a server listens on that socket. */
  serves(socket: string): void {
    this.#served.add(socket)
    this.#look()
  }

  /** Notes that a server listens on an address which is not in `listen`. */
  servesElsewhere(address: string): void {
    this.#elsewhere.push(address)
    this.#look()
  }

  /**
   * Tells launcher or supervisor, and who waits for the pid file, that the daemon is ready. Exits with 1 where the
   * launcher was killed before it could tell anybody of this daemon. `byProgram`: the program said so itself.
   * @throws SystemCallError the channel to the launcher, or the pid file, fails
   */
  finish(byProgram: boolean): void {
    const { arrival, pidFile, outlivesLauncher } = this.#startedBy
    this.#isOver = true
    clearTimeout(this.#hint)
    pidFile?.assertOwnership()
    const refusal = arrival?.ready(pidFile?.native, byProgram) ?? null
    if (!arrival) pidFile?.started()
    if (refusal && refusal.errno !== constants.errno.EPIPE) throw errorOf(refusal)
    if (refusal && !outlivesLauncher) {
      this.#daemon.log('error', 'the launcher ended before the daemon was ready')
      process.exit(1)
    }
  }

  #look(): void {
    if (this.#isOver) return
    if (this.#hasTurned && this.#waitsFor() === null) this.#daemon.becomeReady()
    else if (this.#hinted !== null) this.#sayWhatFor()
  }

  /** Says what the start waits for, and what to do about it; null when the rule is fulfilled. */
  #waitsFor(): string | null {
    if (this.#rule === 'manual') return 'daemon.ready() has not been called'
    const isServed = this.#rule === 'auto' && this.#sockets.length > 0
    const missing = isServed ? this.#sockets.filter(name => !this.#served.has(name)) : []
    if (missing.length > 0) {
      const elsewhere = this.#elsewhere.length > 0 ? `; the program listens on ${this.#elsewhere.join(', ')}` : ''
      return (
        `nobody serves \`${missing.join('`, `')}\` yet${elsewhere}. Serve it, call daemon.ready(), ` +
        "or give `ready: 'loaded'` where a child serves it"
      )
    }
    return isServed || this.#isEvaluated ? null : 'the main module still awaits; daemon.ready() may come before its end'
  }

  /** Tells the launcher or supervisor; in the foreground, where none waits, the log. */
  #sayWhatFor(): void {
    const text = this.#waitsFor()
    if (text === null || text === this.#hinted) return
    this.#hinted = text
    const { arrival } = this.#startedBy
    if (arrival) arrival.waitsFor(text)
    else this.#daemon.log('warning', `not ready yet: ${text}`)
  }
}
