// The worker's end of the channel to its supervisor: it obeys its orders, asks it for sockets, and tells it how it is.
import type { Arrival, ListenPlan, Resources } from '#native'
import { checked } from '../binding/addon.js'
import { errorOf } from '../errors/classes.js'
import type { Identity } from '../options/identity.js'
import { inWholeUnits, type Supervision } from '../options/supervision.js'
import type { ListenSocket } from '../types.js'
import { type Share, signalName } from './signal-actions.js'

/** How many messages a watchdog gets in the time that it allows: one may be late, and one lost. */
const BEATS = 4

/** What a program's own call wants of its supervisor, and the start left open. */
export interface Wishes {
  /** Who it becomes at the call, and the resources that go with that: its successors are so from their exec on. */
  identity?: Identity['change']
  resources?: Resources
  supervision?: Supervision
  /** In milliseconds. */
  stopTimeout?: number
  /** Whether the daemon stops when every worker is idle. */
  endsIdle?: boolean
}

/** What the worker does when its supervisor orders it. */
export interface Orders {
  /** Stops, with the signal that the supervisor got itself; null for none. */
  stop(signal: NodeJS.Signals | null): void
  /** Does what the program has mapped this signal to: the supervisor got it, and passes it on. */
  signal(signal: NodeJS.Signals): void
}

/** The channel to the supervisor, from its worker. */
export class SupervisorChannel {
  readonly #arrival: Arrival
  readonly #watchdog: number | null
  #beat: NodeJS.Timeout | undefined

  /** `watchdog`: milliseconds within which the supervisor expects a sign of life; null: it expects none. */
  constructor(arrival: Arrival, watchdog: number | null, orders: Orders) {
    this.#arrival = arrival
    this.#watchdog = watchdog
    arrival.listen(
      number => orders.stop(signalName(number)),
      number => {
        const signal = signalName(number)
        if (signal) orders.signal(signal)
      },
    )
    this.#beatFor(watchdog)
  }

  /** The supervisor's pid. */
  get pid(): number {
    return this.#arrival.parent
  }

  /** Sends a line of sd_notify(3)'s kind. */
  tell(line: string): void {
    this.#arrival.say(line)
  }

  /** Has sockets bound by the supervisor, which keeps them for other workers and successors. */
  bind(listen: readonly ListenPlan[]): Record<string, ListenSocket> {
    const bound = listen.map(plan => checked(this.#arrival.bind(plan.name, JSON.stringify(plan))))
    return Object.fromEntries(bound.map(({ name, fd, address }) => [name, { fd, address }]))
  }

  /**
   * Asks to be supervised as the program wishes, and waits until that was heard.
   * @throws SystemCallError the supervisor doesn't answer
   */
  request({ supervision, ...others }: Wishes): void {
    const wishes = { ...others, ...(supervision && { supervision: inWholeUnits(supervision) }) }
    const unheard = this.#arrival.wish(JSON.stringify(wishes))
    if (unheard) throw errorOf(unheard)
    // A service manager may have one where the program asks for none.
    if (supervision) this.#beatFor(supervision.watchdog ?? this.#watchdog)
  }

  /** Tells which signals the program maps, and what the supervisor is to do with them. */
  share(shares: Record<number, Share>): void {
    this.tell(`SIGNALS=${JSON.stringify(shares)}`)
  }

  /** Says no more that the event loop turns. */
  close(): void {
    clearInterval(this.#beat)
  }

  /** Says from now on, and often enough, that the event loop turns. */
  #beatFor(watchdog: number | null): void {
    clearInterval(this.#beat)
    if (watchdog === null) return
    this.tell('WATCHDOG=1')
    this.#beat = setInterval(() => this.tell('WATCHDOG=1'), watchdog / BEATS).unref()
  }
}
