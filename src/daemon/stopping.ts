// How a daemon stops. A stop is delivered as the signal that it is: SIGTERM where a supervisor asks without one.
//
// | who asks, and of which program            | the first time            | once it stops already             |
// |-------------------------------------------|---------------------------|-----------------------------------|
// | the program, by stop() or close()         | the sequence              | gets the same end                 |
// | a signal that is mapped to stop, or the   |                           | exits at once with 128 + N; in a  |
// | supervisor:                               |                           | worker of a supervisor nothing    |
// | – a program that called daemonize()       | the sequence, its own     |                                   |
// |                                           | listeners in it           |                                   |
// | – one that did not, without listeners     | the sequence              |                                   |
// | – one that did not, with listeners        | servers first, then it is | reaches its listeners; in a       |
// |                                           | left to them              | worker of a supervisor nothing    |
// | the supervisor, where TERM is mapped to a | the function, then the    |                                   |
// | function                                  | sequence at drainTimeout  |                                   |
// | the clock, after drainTimeout             | what is left of the draining is closed; a program that was left to   |
// |                                           | its listeners exits                                           |
// | the clock, after stopTimeout              | exits at once with 1                                          |
//
// The sequence: `stopping` aborts; servers drain, onDrain hooks run and the program's listeners are awaited, all beside each
// other, until drainTimeout; then onStop hooks run, one after the other; then the process exits.
import type { AsyncLocalStorage } from 'node:async_hooks'
import { constants } from 'node:os'
import { tolerateAborts } from '../errors/uncaught.js'
import type { Detail } from '../options/verbosity.js'
import { nextTurn } from '../process/next-turn.js'
import { drainClusterWorkers, killClusterWorkers } from './cluster-workers.js'
import { describeError, type LogLevel } from './log-line.js'
import { closeServed, drain, type Served } from './serve.js'
import type { SignalActions } from './signal-actions.js'
import { emit } from './signal-gate.js'

/** A function of the program's that runs when the daemon stops; null: by stop(), not by a signal. */
export type StopHook = (signal: NodeJS.Signals | null) => unknown

/** What the sequence needs of the daemon that it stops. */
export interface StoppingDaemon {
  readonly name: string
  readonly isSupervised: boolean
  /** Whether the program called daemonize(), and so knows of the hooks. */
  readonly isKnown: boolean
  readonly signals: SignalActions
  log(level: LogLevel, text: string): void
  /** Logs what DAEMONIC_LOG asks for. */
  detail(level: Detail, text: string): void
  /** Tells service manager, supervisor and pid file that the daemon stops. */
  announceStop(): void
  /** Gives back what the daemon holds, so that the process can go on without it. */
  letGo(): void
}

/** The part of stopTimeout that draining may take: the hooks have the rest. */
const DRAIN_SHARE = 4 / 5
/** The part of stopTimeout in which servers answer before a program that ends itself is asked to. */
const ANSWER_SHARE = 1 / 5

/** The stop of this daemon, from the first request to its exit. */
export class Stopping {
  /** Milliseconds from the first request to a forced exit. */
  timeout: number
  /** Milliseconds of these for draining; null: the default share. */
  drainTimeout: number | null
  readonly #daemon: StoppingDaemon
  readonly #abort = new AbortController()
  readonly #served: Served[] = []
  readonly #drainHooks = new Set<{ hook: StopHook }>()
  readonly #stopHooks = new Set<{ hook: StopHook }>()
  readonly #failures: unknown[] = []
  /** Ends the wait for the hook that is running where this is asked. */
  #insideHook: AsyncLocalStorage<() => void> | undefined
  #isUnderWay = false
  /** The moment of the first request, by performance.now(). */
  #since = 0
  #sequence: Promise<void> | undefined
  #exitCode: number | undefined

  constructor(daemon: StoppingDaemon, timeout: number, drainTimeout: number | null) {
    this.#daemon = daemon
    this.timeout = timeout
    this.drainTimeout = drainTimeout
  }

  /** Aborts at the first request. */
  get signal(): AbortSignal {
    return this.#abort.signal
  }

  get isUnderWay(): boolean {
    return this.#isUnderWay
  }

  /** Adds a server that has to answer what is under way before the hooks run. */
  addServed(served: Served): void {
    this.#served.push(served)
  }

  /** Adds a function that runs beside the draining; gives one that removes it. */
  addDrainHook(hook: StopHook): () => void {
    return added(this.#drainHooks, hook)
  }

  /** Adds a function that runs once the servers have drained, before those added earlier; gives one that removes it. */
  addStopHook(hook: StopHook): () => void {
    return added(this.#stopHooks, hook)
  }

  /** Stops on a signal that this process itself got. */
  onSignal(signal: NodeJS.Signals): void {
    if (!this.#isUnderWay) this.#deliver(signal, signal)
    else if (!this.#daemon.isSupervised) {
      this.#daemon.log('warning', `${signal} while stopping: exiting at once`)
      process.exit(128 + constants.signals[signal])
    }
  }

  /** Stops because somebody else decided so: the supervisor, with the signal that it got itself, or idleness. */
  onOrder(signal: NodeJS.Signals | null): void {
    if (this.#isUnderWay) return
    const as = signal ?? 'SIGTERM'
    if (this.#daemon.signals.functionOf(as)) this.#runMapped(as)
    else this.#deliver(as, signal)
  }

  /** Begins the sequence, unless it has begun, and exits after it: with `exitCode`, or what the program has set. */
  stop(exitCode?: number): Promise<never> {
    this.#exitCode ??= exitCode
    this.#insideHook?.getStore()?.()
    return this.#begin(null, null).then(() => this.#exit())
  }

  /** The sequence without an exit. @throws AggregateError hooks failed */
  async close(): Promise<void> {
    this.#insideHook?.getStore()?.()
    await this.#begin(null, null)
    this.#daemon.letGo()
    const { length } = this.#failures
    if (length > 0) throw new AggregateError(this.#failures, `${length} stop hook${length > 1 ? 's' : ''} failed`)
  }

  /** Delivers `as` to the program; the hooks hear of `signal`. */
  #deliver(as: NodeJS.Signals, signal: NodeJS.Signals | null): void {
    if (!this.#daemon.isKnown && this.#daemon.signals.own(as).length > 0) void this.#leaveTo(as)
    else void this.#begin(signal, as).then(() => this.#exit())
  }

  get #drainLimit(): number {
    const share = this.timeout * DRAIN_SHARE
    return Math.round(Math.min(this.drainTimeout ?? share, this.timeout))
  }

  // ── The program's own way ──────────────────────────────────────────────────────────────

  /** Leaves the end to the program's listeners, once its inherited sockets are served. */
  async #leaveTo(signal: NodeJS.Signals): Promise<void> {
    const { signals } = this.#daemon
    const limit = this.#drainLimit
    this.#announce(signal)
    // A program that has nothing to do any more ends before that.
    setTimeout(() => {
      this.#daemon.log('warning', `still running ${limit} ms after ${signal}: exiting`)
      process.exit()
    }, limit).unref()
    const answered = this.#served.map(each => drain(each, false))
    await within(this.timeout * ANSWER_SHARE, Promise.all(answered))
    // Outside of this promise, so that what a listener throws is an uncaught exception. Libraries that raise the signal
    // again when they are the only listener count them: this library's is none of them.
    setImmediate(() => {
      signals.leave(signal)
      emit(signal)
    })
  }

  /** Runs the function that the signal is mapped to, and the sequence where that hasn't ended the daemon. */
  #runMapped(signal: NodeJS.Signals): void {
    const limit = this.#drainLimit
    setTimeout(() => {
      if (this.#isUnderWay) return
      this.#daemon.log('warning', `the function of ${signal} has not stopped it in ${limit} ms`)
      void this.#begin(signal, null).then(() => this.#exit())
    }, limit).unref()
    this.#daemon.signals.obey(signal)
  }

  // ── The sequence ───────────────────────────────────────────────────────────────────────

  #begin(signal: NodeJS.Signals | null, as: NodeJS.Signals | null): Promise<void> {
    if (this.#sequence) return this.#sequence
    // What the first steps call may ask for a stop in its turn: it has to find this one.
    let settle = (_: Promise<void>) => {}
    const sequence = new Promise<void>(resolve => (settle = resolve))
    this.#sequence = sequence
    settle(this.#run(signal, as))
    return sequence
  }

  async #run(signal: NodeJS.Signals | null, as: NodeJS.Signals | null): Promise<void> {
    const late = setTimeout(() => {
      this.#daemon.log('error', `still stopping after ${this.timeout} ms: exiting`)
      process.exit(1)
    }, this.timeout)
    const { AsyncLocalStorage } = process.getBuiltinModule('node:async_hooks')
    this.#insideHook = new AsyncLocalStorage()
    this.#announce(signal)
    const untolerate = tolerateAborts()
    this.#abort.abort(new DOMException(`${this.#daemon.name} is stopping`, 'AbortError'))
    await this.#drain(signal, as)
    for (const [index, { hook }] of [...this.#stopHooks].toReversed().entries()) {
      await this.#attempt(() => hook(signal))
      this.#daemon.detail('debug', `stop hook ${index + 1} of ${this.#stopHooks.size} is done`)
    }
    clearTimeout(late)
    untolerate()
  }

  async #drain(signal: NodeJS.Signals | null, as: NodeJS.Signals | null): Promise<void> {
    const limit = this.#drainLimit
    const unawaited = new Set<string>()
    const heard = (as ? this.#daemon.signals.own(as) : []).map(listener =>
      this.#call(listener, as ?? 'SIGTERM', unawaited),
    )
    const hooks = [...this.#drainHooks].toReversed().map(({ hook }) => this.#attempt(() => hook(signal)))
    const counted = `servers: ${this.#served.length}, drain hooks: ${hooks.length}, listeners: ${heard.length}`
    this.#daemon.detail('debug', `draining for ${limit} ms at most; ${counted}`)
    const drains = this.#served.map(each => drain(each, true))
    await within(limit, Promise.all([...heard, ...hooks, ...drains, drainClusterWorkers()]))
    this.#daemon.detail('debug', 'drained')
    const left = this.#served.reduce((sum, each) => sum + closeServed(each), 0)
    const killed = killClusterWorkers()
    if (left > 0) {
      const connections = left === 1 ? '1 connection was' : `${left} connections were`
      this.#daemon.log('warning', `${connections} still open after ${limit} ms of draining: closed`)
    }
    if (killed > 0) {
      const workers = killed === 1 ? '1 worker of node:cluster was' : `${killed} workers of node:cluster were`
      this.#daemon.log('warning', `${workers} still running after ${limit} ms of draining: killed`)
    }
    if (unawaited.size > 0) {
      const names = [...unawaited].join(', ')
      this.#daemon.log('info', `not awaited: the ${as} listener ${names}; work that goes on belongs into onStop()`)
    }
    await nextTurn() // servers say that they are closed
  }

  /** Calls a listener of the program's; its name is in `unawaited` until the promise that it returned has settled. */
  async #call(
    listener: (...args: unknown[]) => unknown,
    signal: NodeJS.Signals,
    unawaited: Set<string>,
  ): Promise<void> {
    const { name } = (listener as { listener?: typeof listener }).listener ?? listener
    const shown = name === '' ? '(anonymous)' : name
    unawaited.add(shown)
    await this.#attempt(async () => {
      const returned = Reflect.apply(listener, process, [signal, constants.signals[signal]])
      await returned
      if (returned instanceof Promise) unawaited.delete(shown)
    })
  }

  #announce(signal: NodeJS.Signals | null): void {
    this.#isUnderWay = true
    this.#daemon.log('info', signal ? `stopping on ${signal}` : 'stopping')
    this.#since = performance.now()
    this.#daemon.announceStop()
  }

  #exit(): never {
    if (this.#exitCode !== undefined) process.exitCode = this.#exitCode
    if (this.#failures.length > 0 && !process.exitCode) process.exitCode = 1
    const time = Math.round(performance.now() - this.#since)
    this.#daemon.detail('info', `exits with ${process.exitCode ?? 0} after ${time} ms of stopping`)
    process.exit()
  }

  /**
   * Runs a function of the program's to its end, or until it calls stop() or close(): it may await what those return.
   * Goes on where it fails: the others have something to save, too.
   */
  #attempt(action: () => unknown): Promise<void> {
    return new Promise(resolve => {
      const run = async () => {
        try {
          await action()
        } catch (error) {
          this.#failures.push(error)
          this.#daemon.log('error', `a stop hook failed: ${describeError(error)}`)
        }
        resolve()
      }
      void this.#insideHook?.run(resolve, run)
    })
  }
}

function added(hooks: Set<{ hook: StopHook }>, hook: StopHook): () => void {
  const entry = { hook } // a function may be added twice
  hooks.add(entry)
  return () => void hooks.delete(entry)
}

/** Waits until all is done, so many milliseconds at most. */
async function within(limit: number, done: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  await Promise.race([done, new Promise(resolve => (timer = setTimeout(resolve, limit)))])
  clearTimeout(timer)
}
