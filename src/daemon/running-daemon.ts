// The daemon as its program sees it. How it starts, stops and obeys its supervisor have files of their own.
import type { Socket as UdpSocket } from 'node:dgram'
import { closeSync } from 'node:fs'
import type { Server } from 'node:net'
import type { ListenPlan } from '#native'
import { checked, native } from '../binding/addon.js'
import { OptionError } from '../errors/classes.js'
import type { ListenMap, SignalAction } from '../option-types.js'
import type { Readiness } from '../options/readiness.js'
import type { Settings } from '../options/settings.js'
import { type Detail, isTold } from '../options/verbosity.js'
import type { PidLock } from '../pid-lock.js'
import { nextTurn } from '../process/next-turn.js'
import { setTitle } from '../process/title.js'
import type { Daemon, ListenSocket } from '../types.js'
import { Idleness } from './idle.js'
import { forgetListening, inheritListening } from './inherited-listen.js'
import { type Log, Logs } from './log-files.js'
import { describeError, type LogLevel, logLine } from './log-line.js'
import { ManagerChannel } from './manager-channel.js'
import { unregister } from './registry.js'
import { isConnection, listenOn, servedBy } from './serve.js'
import { SignalActions } from './signal-actions.js'
import { listenHere, releaseSocketFiles, removeFiles } from './sockets.js'
import { type StartedBy, Starting, type StartingDaemon } from './starting.js'
import { StatusRecord } from './status-record.js'
import { type StopHook, Stopping, type StoppingDaemon } from './stopping.js'
import { SupervisorChannel, type Wishes } from './supervisor-channel.js'

/** What daemonize() found or made for the daemon. */
export interface Origin extends StartedBy {
  settings: Settings
  startDirectory: string
  sockets: Record<string, ListenSocket>
  logs: readonly Log[]
  worker: number
  /** Milliseconds within which a supervisor expects to hear that the event loop turns; null: it does not. */
  watchdog: number | null
  /** Whether it left the terminal and the session. */
  detached: boolean
  /** Whether the program itself called daemonize(). */
  isKnown: boolean
}

/** What a later daemonize() adds to a daemon that was started from outside. */
export interface Adoption {
  name?: string
  title?: string
  ready?: Readiness
  stopTimeout?: number
  drainTimeout?: number | null
  idleTimeout?: number | null
  sockets: Record<string, ListenSocket>
  /** How those sockets were bound. */
  listen: readonly ListenPlan[]
  signals: readonly (readonly [NodeJS.Signals, SignalAction])[]
}

/** What daemonize() returns. Members marked internal are for this library alone. */
export class RunningDaemon implements Daemon<ListenMap>, StartingDaemon, StoppingDaemon {
  readonly pid = process.pid
  name: string
  #title: string
  readonly detached: boolean
  readonly startDirectory: string
  readonly worker: number
  readonly pidFile: PidLock | null
  readonly sockets: Record<string, ListenSocket>
  /** @internal */
  readonly signals: SignalActions
  /** Whether the program called daemonize(): else a preload made a daemon of it, and it knows of none. @internal */
  isKnown: boolean
  readonly #logs: Logs
  readonly #manager = new ManagerChannel()
  readonly #supervisor: SupervisorChannel | null
  readonly #starting: Starting
  readonly #stopping: Stopping
  readonly #reloadHooks: (() => unknown)[] = []
  /** Where others read the status; a supervisor has it of its workers by itself. */
  readonly #statusRecord: StatusRecord | null
  readonly #idleness = new Idleness(isIdle => this.#onIdleness(isIdle))
  #idleTimeout: number | null
  #saysReload = false
  /** Descriptors that servers have taken, and close themselves; and those that are closed. */
  readonly #served = new Set<number>()
  /** Those of them that are a client's connection: its end is the daemon's. */
  readonly #connections = new Set<number>()
  readonly #watched = new WeakSet<Server | UdpSocket>()

  constructor(origin: Origin) {
    const { settings, arrival } = origin
    this.name = settings.name
    this.#title = settings.title
    this.detached = origin.detached
    this.isKnown = origin.isKnown
    this.startDirectory = origin.startDirectory
    this.worker = origin.worker
    this.pidFile = origin.pidFile
    this.sockets = origin.sockets
    this.#statusRecord = origin.pidFile && new StatusRecord(origin.pidFile.path)
    this.#logs = new Logs(origin.logs)
    this.#idleTimeout = settings.idleTimeout
    this.#starting = new Starting(this, origin)
    this.#stopping = new Stopping(this, settings.stopTimeout, settings.drainTimeout)
    this.#supervisor = arrival?.isWorker
      ? new SupervisorChannel(arrival, origin.watchdog, {
          stop: signal => this.#stopping.onOrder(signal),
          signal: signal => void this.signals.obey(signal),
        })
      : null
    this.signals = new SignalActions(
      {
        stop: signal => this.#stopping.onSignal(signal),
        reload: () => void this.#reload(),
        'reload-hooks': () => void this.#reload(),
        'reopen-logs': () => this.#reopenAndLog(),
      },
      this.isSupervised,
      (signal, action) => this.detail('trace', `${signal}: ${typeof action === 'function' ? 'a function' : action}`),
    )
    this.#map(settings.signals, settings.givenSignals)
    inheritListening(this, Object.keys(origin.sockets))
    const files = this.pidFile ? `, pid file ${this.pidFile.path}` : ''
    this.detail('info', `started in the ${this.detached ? 'background' : 'foreground'} as pid ${this.pid}${files}`)
    if (isTold('debug')) this.log('debug', surroundings())
    this.#starting.waitFor(settings.ready, this.#given(settings.listen))
  }

  get stopping(): AbortSignal {
    return this.#stopping.signal
  }

  async serve(server: Server | UdpSocket, socket: string): Promise<void> {
    const target = this.sockets[socket]
    if (!target) {
      const known = Object.keys(this.sockets).join(', ') || 'none'
      throw new OptionError('listen', `There is no socket '${socket}' in \`listen\`; there is: ${known}`)
    }
    if (this.#served.has(target.fd)) {
      throw new OptionError('listen', `The socket '${socket}' is served already: a socket has one server in a process`)
    }
    // This promise is another one than readiness looks at: that must not make a failure count as handled.
    await this.inherit(server, target, socket)
    server.once('close', () => this.#onClosedServer(socket))
  }

  /** Serves a socket by a server that does not know of daemons, and may close when it likes. @internal */
  inherit(server: Server | UdpSocket, target: ListenSocket, socket: string): Promise<void> {
    // Now: its number may be another file's by the time that it has closed.
    if (isConnection(target.fd)) this.#connections.add(target.fd)
    this.watch(server, target.fd)
    const listening = listenOn(server, target)
    listening.then(
      () => this.serves(socket),
      () => {}, // the program handles it, or it is an uncaught error
    )
    return listening
  }

  /**
   * Drains a server when the daemon stops, and counts its clients for idleness: call it before it listens on `fd`. A server
   * may listen again. @internal
   */
  watch(server: Server | UdpSocket, fd: number): void {
    this.#served.add(fd)
    if (this.#watched.has(server)) return
    this.#watched.add(server)
    const served = servedBy(server)
    this.#idleness.watch(served)
    this.#stopping.addServed(served)
  }

  /** Notes that a server of this process listens on a socket. @internal */
  serves(socket: string): void {
    this.#starting.serves(socket)
  }

  /** Notes that a server of the program's own listens on another address. @internal */
  servesElsewhere(address: string): void {
    this.#starting.servesElsewhere(address)
  }

  ready(status?: string): void {
    if (status !== undefined) this.setStatus(status)
    this.#finishStart(true)
  }

  /** Ends the start without a word of the program. @internal */
  becomeReady(): void {
    this.#finishStart(false)
  }

  #finishStart(byProgram: boolean): void {
    if (this.#starting.isOver) return
    this.#starting.finish(byProgram)
    this.#manager.ready()
    this.detail('info', `ready after ${Math.round(performance.now())} ms`)
    this.#idleness.start(this.#idleTimeout)
    setImmediate(() => this.#logs.remember()).unref()
  }

  setStatus(text: string): void {
    const line = text.replaceAll(/\s+/g, ' ')
    this.detail('trace', `status: ${line}`)
    setTitle(`${this.#title}: ${line}`)
    this.pidFile?.assertOwnership()
    this.#statusRecord?.set(line)
    this.#manager.status(line)
    this.#supervisor?.tell(`STATUS=${line}`)
  }

  busy(): Disposable {
    return this.#idleness.hold()
  }

  onDrain(hook: StopHook): () => void {
    return this.#stopping.addDrainHook(hook)
  }

  onStop(hook: StopHook): () => void {
    return this.#stopping.addStopHook(hook)
  }

  onReload(hook: () => unknown): void {
    this.#reloadHooks.push(hook)
    if (!this.isSupervised || this.#saysReload || this.signals.runsHooks) return
    this.#saysReload = true
    this.log(
      'info',
      "onReload(): a reload replaces supervised workers; their hooks run at a signal mapped to 'reload-hooks'",
    )
  }

  reopenLogs({ all = false }: { all?: boolean | undefined } = {}): number {
    try {
      const count = this.#logs.reopen(all)
      this.detail('info', `reopened ${count} log${count === 1 ? '' : 's'}`)
      return count
    } finally {
      this.pidFile?.assertOwnership()
    }
  }

  stop(exitCode?: number): Promise<never> {
    return this.#stopping.stop(exitCode)
  }

  close(): Promise<void> {
    return this.#stopping.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** The process that this one dies with: a supervisor, or the middle process of a start that is not over. @internal */
  get parent(): number | undefined {
    return this.#supervisor?.pid ?? this.#starting.parent
  }

  /** Whether a supervisor gives the orders. @internal */
  get isSupervised(): boolean {
    return this.#supervisor !== null
  }

  /** Takes what a later daemonize() adds. @internal */
  adopt({ name, title, ready, stopTimeout, drainTimeout, idleTimeout, sockets, listen, signals }: Adoption): void {
    this.isKnown = true
    if (name !== undefined) this.name = name
    if (title !== undefined) {
      this.#title = title
      setTitle(title)
    }
    Object.assign(this.sockets, sockets)
    inheritListening(this, Object.keys(sockets))
    this.#map(signals, new Set(signals.map(([signal]) => signal)))
    if (stopTimeout !== undefined) this.#stopping.timeout = stopTimeout
    if (drainTimeout !== undefined) this.#stopping.drainTimeout = drainTimeout
    if (idleTimeout !== undefined) this.#idleTimeout = idleTimeout
    if (this.#starting.isOver) this.#idleness.start(this.#idleTimeout)
    else this.#starting.waitFor(ready, this.#given(listen))
  }

  /** Binds sockets where they are kept: in the supervisor or, without one, in this process. @internal */
  bind(listen: readonly ListenPlan[]): Record<string, ListenSocket> {
    return this.#supervisor?.bind(listen) ?? listenHere(listen)
  }

  /** Asks the supervisor for what the program wants of it; does nothing where there is none. @internal */
  request(wishes: Wishes): void {
    if (Object.keys(wishes).length > 0) this.#supervisor?.request(wishes)
  }

  /** Tells service manager, supervisor and waiting clients that the daemon stops. @internal */
  announceStop(): void {
    this.#manager.stopping(this.#stopping.timeout)
    this.#supervisor?.tell('STOPPING=1')
    this.pidFile?.ending()
    // Where a server listens on a copy of a socket, clients would go on connecting to the socket itself.
    this.#closeUnserved()
  }

  /** Gives back signals, pid file and sockets: the process goes on without being a daemon. @internal */
  letGo(): void {
    this.#idleness.stop()
    this.#supervisor?.close()
    this.#manager.close()
    this.signals.clear()
    forgetListening()
    if (this.pidFile?.held) this.pidFile.release()
    this.#closeUnserved()
    releaseSocketFiles()
    unregister(this)
  }

  /** Writes a line into the daemon's log. @internal */
  log(level: LogLevel, text: string): void {
    logLine(this.name, level, text)
  }

  /** Writes a line that DAEMONIC_LOG asks for. @internal */
  detail(level: Detail, text: string): void {
    if (isTold(level)) this.log(level, text)
  }

  #closeUnserved(): void {
    for (const { fd } of Object.values(this.sockets)) {
      if (!this.#served.has(fd)) closeSync(fd)
      this.#served.add(fd)
    }
  }

  /** Gives the names of those sockets that this process has: with `ready: 'port'` the program binds them itself. */
  #given(listen: readonly ListenPlan[]): string[] {
    return listen.map(({ name }) => name).filter(name => name in this.sockets)
  }

  /** Lets the supervisor decide about an idle daemon; without one it stops. */
  #onIdleness(isIdle: boolean): void {
    if (this.#supervisor) this.#supervisor.tell(`IDLE=${isIdle ? 1 : 0}`)
    else if (isIdle) void this.#stopIdle()
  }

  /**
   * Clients who look for a daemon from now on wait for the next one; those who have connected by now are still accepted
   * and answered.
   */
  async #stopIdle(): Promise<void> {
    this.pidFile?.ending()
    removeFiles()
    await nextTurn()
    await nextTurn()
    this.log('info', `idle for ${this.#idleTimeout} ms`)
    this.#stopping.onOrder(null)
  }

  /** Maps signals, and tells a supervisor of those that the program has `named`: it gets them first. */
  #map(signals: Iterable<readonly [NodeJS.Signals, SignalAction]>, named: ReadonlySet<string>): void {
    for (const [signal, action] of signals) this.signals.set(signal, action)
    const own = [...signals].map(([signal]) => signal).filter(signal => named.has(signal))
    if (own.length > 0) this.#supervisor?.share(this.signals.shares(own))
  }

  async #reload(): Promise<void> {
    this.#manager.reloading()
    this.#reopenAndLog()
    for (const [index, hook] of this.#reloadHooks.entries()) {
      try {
        await hook()
        this.detail('debug', `reload hook ${index + 1} of ${this.#reloadHooks.length} is done`)
      } catch (error) {
        this.log('error', `a reload hook failed: ${describeError(error)}`)
      }
    }
    if (this.#starting.isOver && !this.#stopping.isUnderWay) this.#manager.ready()
  }

  /** Logs a failure instead of throwing it: a signal has no caller. */
  #reopenAndLog(): void {
    try {
      this.reopenLogs()
    } catch (error) {
      this.log('warning', `${describeError(error)}; the old file goes on being used`)
    }
  }

  #onClosedServer(socket: string): void {
    if (this.#stopping.isUnderWay) return
    const { fd } = this.sockets[socket] ?? {}
    if (fd !== undefined && this.#connections.has(fd)) return void this.stop()
    this.log('error', `the server on '${socket}' closed unasked`)
    void this.stop(1)
  }
}

/** Describes what this process is, as the kernel has it. */
function surroundings(): string {
  const { umask, pgid, sid } = checked(native.processFacts(process.pid))
  const mask = umask === undefined ? '' : `, umask ${umask.toString(8).padStart(3, '0')}`
  const ids = `user ${process.geteuid?.()}, group ${process.getegid?.()}, process group ${pgid}, session ${sid}`
  return `working directory ${process.cwd()}${mask}, ${ids}`
}
