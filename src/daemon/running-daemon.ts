// The daemon, as its program sees it: readiness, stopping, reloading.
import type { Socket as UdpSocket } from 'node:dgram'
import type { Server } from 'node:net'
import { constants } from 'node:os'
import type { Arrival, ListenPlan } from '#native'
import { checked, native } from '../binding/addon.js'
import { managerAddress } from '../detach-context.js'
import { DaemonError, errorOf, OptionError } from '../errors/classes.js'
import { tolerateAborts } from '../errors/uncaught.js'
import type { Readiness, Settings } from '../options/settings.js'
import { inWholeUnits, type Supervision } from '../options/supervision.js'
import type { PidLock } from '../pid-lock.js'
import type { Daemon, ListenMap, ListenSocket, SignalAction } from '../types.js'
import { Idleness } from './idle.js'
import { type Log, Logs } from './log-files.js'
import { type Drain, listenOn } from './serve.js'
import { listenHere, removeFiles } from './sockets.js'

/** What daemonize() found or made for the daemon. */
export interface Origin {
  settings: Settings
  startDirectory: string
  pidFile: PidLock | null
  sockets: Record<string, ListenSocket>
  logs: readonly Log[]
  worker: number
  /** Milliseconds within which a supervisor wants to hear that the event loop turns; null: it doesn't. */
  watchdog: number | null
  /** Null in the foreground. */
  arrival: Arrival | null
  /** Whether whoever started us may have ended by the time we are ready. */
  outlivesLauncher: boolean
}

/** What a later daemonize() adds to a daemon that was started from outside. */
export interface Adoption {
  name?: string
  ready?: Readiness
  stopTimeout?: number
  idleTimeout?: number | null
  sockets: Record<string, ListenSocket>
  signals: readonly (readonly [NodeJS.Signals, SignalAction])[]
}

/** How often in its time a watchdog hears of us: one beat may be late, and one lost. */
const BEATS = 4

export class RunningDaemon implements Daemon<ListenMap> {
  readonly pid = process.pid
  name: string
  readonly detached: boolean
  readonly startDirectory: string
  readonly worker: number
  readonly pidFile: PidLock | null
  readonly sockets: Record<string, ListenSocket>
  readonly #settings: Settings
  readonly #logs: Logs
  readonly #manager = managerAddress()
  readonly #abort = new AbortController()
  readonly #stopHooks: ((signal: NodeJS.Signals | null) => unknown)[] = []
  readonly #reloadHooks: (() => unknown)[] = []
  readonly #serving: Promise<unknown>[] = []
  readonly #drains: Drain[] = []
  readonly #idleness = new Idleness(isIdle => this.#tellIdle(isIdle))
  readonly #listeners = new Map<NodeJS.Signals, (signal: NodeJS.Signals) => void>()
  /** What readiness waits for, if it comes by itself. */
  #turn: Promise<unknown> | null = null
  readonly #outlivesLauncher: boolean
  #arrival: Arrival | null
  /** Where a supervisor listens. */
  #supervisor: Arrival | null = null
  #ready = false
  #ending: Promise<never> | undefined

  constructor(origin: Origin) {
    const { settings, startDirectory, worker, watchdog, pidFile, sockets, logs, arrival, outlivesLauncher } = origin
    this.name = settings.name
    this.detached = arrival !== null
    this.startDirectory = startDirectory
    this.worker = worker
    this.pidFile = pidFile
    this.sockets = sockets
    this.#settings = settings
    this.#logs = new Logs(logs)
    this.#arrival = arrival
    this.#outlivesLauncher = outlivesLauncher
    if (arrival?.isWorker) this.#supervisor = this.#obey(arrival, watchdog)
    for (const [signal, action] of settings.signals) this.#map(signal, action)
    if (settings.ready !== 'manual') this.readyAfter(nextTurn())
  }

  /** The process whose end is ours, too: a supervisor; or, until we are ready, the middle of our start. @internal */
  get parent(): number | undefined {
    return (this.#supervisor ?? this.#arrival)?.parent
  }

  get stopping(): AbortSignal {
    return this.#abort.signal
  }

  serve(server: Server | UdpSocket, socket: string): Promise<void> {
    const target = this.sockets[socket]
    if (!target) {
      const known = Object.keys(this.sockets).join(', ') || 'none'
      throw new OptionError('listen', `There is no socket '${socket}' in \`listen\`; there is: ${known}`)
    }
    // Another promise: readiness, which looks at the first, must not make a failure count as handled.
    return this.inherit(server, target).then(() => {
      server.once('close', () => this.#closedUnasked(socket))
    })
  }

  /** @internal The same for a server that never heard of us, and may close when it likes. */
  inherit(server: Server | UdpSocket, { fd }: ListenSocket): Promise<void> {
    this.#idleness.watch(server)
    const listening = listenOn(server, fd).then(drain => void this.#drains.push(drain))
    this.#serving.push(listening)
    return listening
  }

  ready(status?: string): void {
    if (status !== undefined) this.status(status)
    if (this.#ready) return
    this.#ready = true
    this.pidFile?.assertOwnership()
    const refusal = this.#arrival?.ready(this.pidFile?.native) ?? null
    if (!this.#arrival) this.pidFile?.started()
    this.#arrival = null
    if (refusal && refusal.errno !== constants.errno.EPIPE) throw errorOf(refusal)
    if (refusal && !this.#outlivesLauncher) {
      // Whoever started us is gone, and nobody would know of us.
      this.log('error', 'the launcher ended before the daemon was ready')
      process.exit(1)
    }
    this.#notify('READY=1')
    this.#idleness.start(this.#settings.idleTimeout)
    setImmediate(() => this.#logs.remember()).unref()
  }

  status(text: string): void {
    const line = text.replaceAll(/\s+/g, ' ')
    process.title = `${this.name}: ${line}`
    this.pidFile?.assertOwnership()
    this.#notify(`STATUS=${line}`)
    this.#supervisor?.say(`STATUS=${line}`)
  }

  busy(): Disposable {
    return this.#idleness.hold()
  }

  onStop(hook: (signal: NodeJS.Signals | null) => unknown): void {
    this.#stopHooks.push(hook)
  }

  onReload(hook: () => unknown): void {
    this.#reloadHooks.push(hook)
  }

  reopenLogs({ all = false }: { all?: boolean | undefined } = {}): number {
    try {
      return this.#logs.reopen(all)
    } finally {
      this.pidFile?.assertOwnership()
    }
  }

  stop(exitCode = 0): Promise<never> {
    return this.#end(null, exitCode)
  }

  /** @internal Ready by itself once `turn` has come and every server listens; null: at ready() alone. */
  readyAfter(turn: Promise<unknown> | null): void {
    this.#turn = turn
    void turn?.then(() => (this.#turn === turn ? this.#readyWhenServing() : undefined))
  }

  /** @internal */
  adopt({ name, ready, stopTimeout, idleTimeout, sockets, signals }: Adoption): void {
    if (name !== undefined) process.title = this.name = name
    Object.assign(this.sockets, sockets)
    for (const [signal, action] of signals) this.#map(signal, action)
    if (stopTimeout !== undefined) this.#settings.stopTimeout = stopTimeout
    if (idleTimeout !== undefined) this.#settings.idleTimeout = idleTimeout
    if (this.#ready) this.#idleness.start(this.#settings.idleTimeout)
    else if (ready !== undefined) this.readyAfter(ready === 'manual' ? null : nextTurn())
  }

  /** @internal By the supervisor, which keeps them for other workers and successors; where there is none, here. */
  bind(listen: readonly ListenPlan[]): Record<string, ListenSocket> {
    const supervisor = this.#supervisor
    if (supervisor === null) return listenHere(listen)
    const bound = listen.map(plan => checked(supervisor.bind(plan.name, JSON.stringify(plan))))
    return Object.fromEntries(bound.map(({ name, fd, address }) => [name, { fd, address }]))
  }

  /** @internal False: nobody supervises us. */
  supervise(supervision: Supervision | null): boolean {
    if (this.#supervisor === null || supervision === null) return this.#supervisor !== null
    this.#supervisor.say(`SUPERVISION=${JSON.stringify(inWholeUnits(supervision))}`)
    this.#beat(this.#supervisor, supervision.watchdog)
    return true
  }

  /** Tells whoever supervises us; where nobody does, an idle daemon ends. */
  #tellIdle(isIdle: boolean): void {
    if (this.#supervisor) this.#supervisor.say(`IDLE=${isIdle ? 1 : 0}`)
    else if (isIdle) void this.#endIdle()
  }

  /**
   * Clients who look for a daemon from now on wait for the next one; those who have connected by now are still accepted
   * and answered.
   */
  async #endIdle(): Promise<void> {
    this.pidFile?.ending()
    removeFiles()
    await nextTurn()
    await nextTurn()
    this.log('info', `idle for ${this.#settings.idleTimeout} ms`)
    await this.stop()
  }

  async #readyWhenServing(): Promise<void> {
    // A server that can't listen rejects what serve() returned: the program's to handle, or uncaught.
    const results = await Promise.allSettled(this.#serving)
    if (results.every(({ status }) => status === 'fulfilled')) this.ready()
  }

  #map(signal: NodeJS.Signals, action: SignalAction): void {
    const before = this.#listeners.get(signal)
    if (before) process.off(signal, before)
    this.#listeners.delete(signal)
    // A supervisor's orders count, not copies of the signal that it got: a terminal sends INT and QUIT to the whole group.
    if (this.#supervisor && action === 'stop' && signal !== 'SIGTERM') action = 'ignore'
    if (action === 'ignore' || action === 'default') {
      native.setDisposition(constants.signals[signal], action === 'ignore')
      return
    }
    const listener = this.#listenerFor(signal, action)
    this.#listeners.set(signal, listener)
    process.on(signal, listener)
  }

  #listenerFor(
    signal: NodeJS.Signals,
    action: Exclude<SignalAction, 'ignore' | 'default'>,
  ): (signal: NodeJS.Signals) => void {
    if (typeof action === 'function') return action
    if (action === 'stop') return () => this.#stopBy(signal)
    if (action === 'reload') return () => void this.#reload()
    return () => this.#reopenAndTell()
  }

  /** Says that the event loop turns, and stops when told to. */
  #obey(supervisor: Arrival, watchdog: number | null): Arrival {
    supervisor.listen(number => void this.#end(signalNamed(number), 0))
    this.#beat(supervisor, watchdog)
    return supervisor
  }

  #beat(supervisor: Arrival, watchdog: number | null): void {
    if (watchdog === null) return
    supervisor.say('WATCHDOG=1')
    setInterval(() => supervisor.say('WATCHDOG=1'), watchdog / BEATS).unref()
  }

  #stopBy(signal: NodeJS.Signals): void {
    if (this.#ending && this.#supervisor) return
    if (this.#ending) {
      this.log('warning', `${signal} while stopping: exiting at once`)
      process.exit(128 + constants.signals[signal])
    }
    void this.#end(signal, 0)
  }

  #end(signal: NodeJS.Signals | null, exitCode: number): Promise<never> {
    this.#ending ??= this.#runStop(signal, exitCode)
    return this.#ending
  }

  async #runStop(signal: NodeJS.Signals | null, exitCode: number): Promise<never> {
    const { stopTimeout } = this.#settings
    this.log('info', signal ? `stopping on ${signal}` : 'stopping')
    setTimeout(() => {
      this.log('error', `still stopping after ${stopTimeout} ms: exiting`)
      process.exit(1)
    }, stopTimeout)
    this.#notify('STOPPING=1')
    this.#supervisor?.say('STOPPING=1')
    this.pidFile?.ending()
    tolerateAborts()
    this.#abort.abort(new DOMException(`${this.name} is stopping`, 'AbortError'))
    let failed = false
    const attempt = async (what: () => unknown) => {
      try {
        await what()
      } catch (error) {
        failed = true
        this.log('error', `a stop hook failed: ${describe(error)}`)
      }
    }
    await Promise.all(this.#drains.map(attempt))
    for (const hook of this.#stopHooks.toReversed()) await attempt(() => hook(signal))
    return process.exit(failed ? 1 : exitCode)
  }

  async #reload(): Promise<void> {
    this.#reopenAndTell()
    for (const hook of this.#reloadHooks) {
      try {
        await hook()
      } catch (error) {
        this.log('error', `a reload hook failed: ${describe(error)}`)
      }
    }
  }

  #reopenAndTell(): void {
    try {
      this.reopenLogs()
    } catch (error) {
      this.log('warning', `${describe(error)}; the old file goes on being used`)
    }
  }

  #closedUnasked(socket: string): void {
    if (this.#ending) return
    this.log('error', `the server on '${socket}' closed unasked`)
    void this.stop(1)
  }

  #notify(text: string): void {
    if (this.#manager) native.notifyManager(this.#manager, text)
  }

  /** @internal One line on stderr. */
  log(level: 'info' | 'warning' | 'error', text: string): void {
    // Under an internet superserver stderr is the client's connection.
    if (native.contextFacts().oneSocketForStdio) return
    process.stderr.write(`${new Date().toISOString()} ${this.name}[${this.pid}] ${level}: ${text}\n`)
  }
}

function signalNamed(number: number): NodeJS.Signals | null {
  const entry = Object.entries(constants.signals).find(([, each]) => each === number)
  return (entry?.[0] as NodeJS.Signals) ?? null
}

function nextTurn(): Promise<void> {
  return new Promise(resolve => setImmediate(resolve))
}

function describe(error: unknown): string {
  if (error instanceof DaemonError) return error.message
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
