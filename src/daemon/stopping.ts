// How a daemon stops, and what happens when it is asked to once more, or takes too long.
//
// | who asks                         | the first time | once it stops already                   |
// |----------------------------------|----------------|-----------------------------------------|
// | the program, by stop()           | the sequence   | gets the same promise                   |
// | a signal that is mapped to stop  | the sequence   | exits at once with 128 + N; in a worker |
// |                                  |                | of a supervisor it changes nothing      |
// | the supervisor, over its channel | the sequence   | changes nothing                         |
// | the clock, after stopTimeout     |                | exits at once with 1                    |
import { constants } from 'node:os'
import { tolerateAborts } from '../errors/uncaught.js'
import { describeError, type LogLevel } from './log-line.js'
import type { Drain } from './serve.js'

/** A function of the program's that runs when the daemon stops; null: by stop(), not by a signal. */
export type StopHook = (signal: NodeJS.Signals | null) => unknown

/** What the sequence needs of the daemon that it stops. */
export interface StoppingDaemon {
  readonly name: string
  readonly isSupervised: boolean
  log(level: LogLevel, text: string): void
  /** Tells service manager, supervisor and pid file that the daemon stops. */
  announceStop(): void
}

/** The stop of this daemon, from the first request to its exit. */
export class Stopping {
  /** Milliseconds from the first request to a forced exit. */
  timeout: number
  readonly #daemon: StoppingDaemon
  readonly #abort = new AbortController()
  readonly #drains: Drain[] = []
  readonly #hooks: StopHook[] = []
  #sequence: Promise<never> | undefined
  #hasFailed = false

  constructor(daemon: StoppingDaemon, timeout: number) {
    this.#daemon = daemon
    this.timeout = timeout
  }

  /** Aborts at the first request. */
  get signal(): AbortSignal {
    return this.#abort.signal
  }

  get isUnderWay(): boolean {
    return this.#sequence !== undefined
  }

  /** Adds a server that has to answer what is under way before the hooks run. */
  addDrain(drain: Drain): void {
    this.#drains.push(drain)
  }

  /** Adds a function that runs once the servers have drained, before those that were added earlier. */
  addHook(hook: StopHook): void {
    this.#hooks.push(hook)
  }

  /** Stops on a signal that this process itself got. */
  onSignal(signal: NodeJS.Signals): void {
    if (!this.isUnderWay) void this.begin(signal)
    else if (!this.#daemon.isSupervised) {
      this.#daemon.log('warning', `${signal} while stopping: exiting at once`)
      process.exit(128 + constants.signals[signal])
    }
  }

  /** Begins the sequence, unless it has begun. Never settles: the process exits, with 1 instead of 0 if a hook failed. */
  begin(signal: NodeJS.Signals | null, exitCode = 0): Promise<never> {
    this.#sequence ??= this.#run(signal, exitCode)
    return this.#sequence
  }

  async #run(signal: NodeJS.Signals | null, exitCode: number): Promise<never> {
    this.#daemon.log('info', signal ? `stopping on ${signal}` : 'stopping')
    this.#exitWhenLate()
    this.#daemon.announceStop()
    tolerateAborts()
    this.#abort.abort(new DOMException(`${this.#daemon.name} is stopping`, 'AbortError'))
    await Promise.all(this.#drains.map(drain => this.#attempt(drain)))
    for (const hook of this.#hooks.toReversed()) await this.#attempt(() => hook(signal))
    return process.exit(this.#hasFailed ? 1 : exitCode)
  }

  #exitWhenLate(): void {
    const { timeout } = this
    setTimeout(() => {
      this.#daemon.log('error', `still stopping after ${timeout} ms: exiting`)
      process.exit(1)
    }, timeout)
  }

  /** Goes on where one of them fails: the others have something to save, too. */
  async #attempt(action: () => unknown): Promise<void> {
    try {
      await action()
    } catch (error) {
      this.#hasFailed = true
      this.#daemon.log('error', `a stop hook failed: ${describeError(error)}`)
    }
  }
}
