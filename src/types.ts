// What the public calls give.
import type { Socket as UdpSocket } from 'node:dgram'
import type { Server } from 'node:net'
import type { ListenMap } from './option-types.js'
import type { PidLock } from './pid-lock.js'

/** A call that can be given up. */
export interface Abortable {
  /** Gives the call up when it aborts: the call rejects with its reason. @default none */
  signal?: AbortSignal | undefined
}

/** The daemon that launch() found or started. `Target` is null only with `pidFile: false`. */
export interface Launched<L extends ListenMap = ListenMap, Target extends string | null = string> {
  /** The process that owns the pid file: the daemon, or its supervisor. */
  readonly pid: number
  /** Whether this call started it; false where it ran already. */
  readonly started: boolean
  /**
   * What stop(), status(), signal(), reload() and connect() take to find this daemon again: the path of its pid file. Null
   * with `pidFile: false`: nothing then finds it again, nor keeps a second one from being started.
   */
  readonly target: Target
  /** The path of the pid file; null with `pidFile: false`. */
  readonly pidFile: Target
  /** Where its sockets listen, by name: HOST:PORT, or a Unix socket's path. */
  readonly addresses: { readonly [K in keyof L]: string }
}

/** What daemonize() returns: in the daemon, or in the foreground where it did not detach. */
export interface Daemon<L extends ListenMap = ListenMap> {
  readonly pid: number
  readonly name: string
  /** Whether it left the terminal and the session; false in the foreground. */
  readonly detached: boolean
  /** The directory in which the launcher was started: resolve a user's relative paths against it. */
  readonly startDirectory: string
  /** The index of this worker; 0 where there is one process. */
  readonly worker: number
  /** The pid file that this process holds; null where there is none, and where a supervisor holds it. */
  readonly pidFile: PidLock | null
  /** The sockets of `listen`, by name. Each is what `server.listen()` and dgram's `bind()` take. */
  readonly sockets: { readonly [K in keyof L]: ListenSocket }
  /**
   * Aborts when the daemon is asked to stop. An unhandled AbortError that it causes is no failure. The Daemon itself never
   * keeps the event loop alive.
   */
  readonly stopping: AbortSignal
  /**
   * Listens on that socket. `ready: 'auto'` waits for it. At a stop the server drains: it answers what is in flight, with
   * `Connection: close`. A server that closes by itself before that ends the daemon, with the exit code 1.
   * @throws OptionError `listen` has no socket of that name, or it is served already
   */
  serve(server: Server | UdpSocket, socket: keyof L & string): Promise<void>
  /** Tells the launcher and the service manager that the daemon is ready. Later calls do nothing more. */
  ready(status?: string): void
  /** Holds `idleTimeout` off until what it returns is disposed of. */
  busy(): Disposable
  /** Says in a line what the daemon is doing: in the process title, to the service manager, and as `statusText` of status(). */
  setStatus(text: string): void
  /**
   * Runs the hook when the daemon is asked to stop, beside the draining of its servers: to end WebSockets and streams, which
   * have no end of their own. All hooks are awaited, up to `drainTimeout`. Gives a function that removes the hook.
   */
  onDrain(hook: (signal: NodeJS.Signals | null) => unknown): () => void
  /**
   * Runs the hook when the daemon is asked to stop, after its servers have drained or `drainTimeout` is over. The hook that
   * was added last runs first. All are awaited, up to `stopTimeout`; then the daemon exits with `process.exitCode`, 0 unless
   * the program has set it, or with 1 if a hook failed. `signal` is null after stop(), close(), and where a supervisor stops
   * the worker without a signal. A listener of the program's own for that signal is awaited before, as far as it returns a
   * promise: work that goes on without one belongs here. Gives a function that removes the hook.
   */
  onStop(hook: (signal: NodeJS.Signals | null) => unknown): () => void
  /**
   * Runs the hook at a reload, after the logs were reopened. The hook that was added first runs first. Under a supervisor a
   * reload replaces the workers instead, unless `signals` maps SIGHUP to `'reload-hooks'`.
   */
  onReload(hook: () => unknown): void
  /**
   * Reopens the logs that were moved or removed, and returns how many. With `all` also every other regular file that this
   * process appends to by an absolute path.
   */
  reopenLogs(options?: { all?: boolean | undefined }): number
  /**
   * Stops as a signal would: drains, runs the stop hooks, releases the pid file, and exits with `exitCode`, by default
   * `process.exitCode`. A hook may await it: it isn't waited for any longer then.
   */
  stop(exitCode?: number): Promise<never>
  /**
   * Stops without an exit, for tests and for programs that go on: drains, runs the stop hooks, gives back sockets, signals and
   * pid file. Afterwards daemonize() may be called again.
   * @throws AggregateError stop hooks failed
   */
  close(): Promise<void>
  /** As close(): `await using daemon = daemonize(…)`. */
  [Symbol.asyncDispose](): Promise<void>
}

/** A listening socket that was bound before the program ran. */
export interface ListenSocket {
  readonly fd: number
  /** HOST:PORT, or the path of a Unix socket. */
  readonly address: string
}
