// The options and what they give, as users write and read them.
import type { Socket as UdpSocket } from 'node:dgram'
import type { Server } from 'node:net'
import type { PidLock } from './pid-lock.js'

/** How to become a daemon. */
export interface DaemonizeOptions<L extends ListenMap = ListenMap> extends ProcessOptions<L> {
  /**
   * Whether to detach from the terminal and session. 'auto': not where something else already supervises us, see
   * {@link detachContext}; the environment variable DAEMONIC_DETACH=true|false stands in for 'auto'. @default 'auto'
   */
  detach?: boolean | 'auto' | undefined
  /** What catches which signal. @default TTIN, TTOU, TSTP ignored; TERM, INT, QUIT stop; HUP reload */
  signals?: SignalMap | undefined
}

/**
 * What a daemon's process is to be. Times are milliseconds, sizes bytes, modes and umasks numbers (0o022). Every option
 * may be `undefined`: not given.
 */
export interface ProcessOptions<L extends ListenMap = ListenMap> {
  /** Process title, default file names, log lines: [A-Za-z0-9._-], at most 64. @default the script's base name */
  name?: string | undefined
  /** Tells daemons of one name apart, e.g. the project's directory: files are called NAME@HASH. */
  instance?: string | undefined
  /** The working directory, entered at the call; `false` stays. A daemon elsewhere keeps a file system from being unmounted. @default '/' */
  chdir?: string | false | undefined
  /** `false` keeps the caller's. With 0 every file that Node writes would be writable by all. @default 0o022 */
  umask?: number | false | undefined
  /** The root directory, entered at the call; needs root. See docs/options.md for what must be in it. @default none */
  chroot?: string | undefined
  /**
   * Name or id that the daemon takes at the call, for good; needs root. The group defaults to the user's own, the
   * supplementary groups to initgroups(3). USER, LOGNAME, HOME and SHELL follow.
   */
  user?: string | number | undefined
  group?: string | number | undefined
  groups?: readonly (string | number)[] | undefined
  /** 'ignore' is /dev/null, read and write. @default 'ignore' */
  stdin?: 'ignore' | 'inherit' | (string & {}) | number | { readonly fd: number } | undefined
  /**
   * Both outputs; `stdout` and `stderr` win over it. `true`: STATEDIR/NAME.log. A string without slash or dot is one of
   * the words, never a file. Paths resolve against the caller's directory, open O_APPEND, mode 0o640. @default 'ignore'
   */
  log?: OutputTarget | true | undefined
  /** @default `log` */
  stdout?: OutputTarget | undefined
  /** Until the daemon is ready, what goes to 'ignore' is kept, and told if the start fails. @default `log` */
  stderr?: OutputTarget | undefined
  /**
   * Descriptors that stay open under the same number: what the caller was given (a shell's `3<file`), not what the
   * program opened before the call: that code runs again in the daemon and opens its own. All others close.
   */
  preserve?: readonly (number | { readonly fd: number } | null | undefined)[] | undefined
  /** Listening sockets by name, bound in the launcher, before privileges drop. */
  listen?: L | undefined
  /** Soft and hard limits, getrlimit(2). `core` is 0 unless given: a dump holds secrets. */
  limits?: { [R in ResourceName]?: Limit | undefined } | undefined
  /** The nice value, from -20 (most favourable) to 19: setpriority(2). */
  nice?: number | undefined
  /** From -1000 (never killed) to 1000: proc_pid_oom_score_adj(5). Linux. */
  oomScoreAdjust?: number | undefined
  /** Neither the daemon nor its children gain privileges by executing a program: PR_SET_NO_NEW_PRIVS(2const). Linux. @default false */
  noNewPrivileges?: boolean | undefined
  /** Added to the environment; `undefined` removes a variable. */
  env?: Record<string, string | undefined> | undefined
  /** A locked pid file. `true`: RUNDIR/NAME.pid; a string without a slash: that file there. @default none */
  pidFile?: string | boolean | PidFileOptions | undefined
  /**
   * 'auto': when the event loop has turned once after the call without an uncaught error, and every server given to
   * serve() listens. 'manual': at {@link Daemon.ready}. @default 'auto'
   */
  ready?: 'auto' | 'manual' | undefined
  /** How long the launcher waits for readiness before it ends the daemon. @default 30_000 */
  startTimeout?: number | undefined
  /** From the stop signal to a forced exit. @default 25_000, less than Kubernetes' 30 s */
  stopTimeout?: number | undefined
  /**
   * Exit after this long without a connection to serve() and without {@link Daemon.busy}. @default never
   */
  idleTimeout?: number | undefined
  /** Restart it when it fails: a native supervisor takes the daemon's place, and the program is its worker. @default false */
  monitor?: boolean | MonitorOptions | undefined
  /** Preforked copies of the program that share the listening sockets; 'cpus': one for each that may be used. Implies `monitor`. */
  workers?: number | 'cpus' | undefined
}

/** How to start another program as a daemon. Other defaults than daemonize()'s: `pidFile: true`, and `chdir` stays. */
export interface LaunchOptions<L extends ListenMap = ListenMap> extends Omit<ProcessOptions<L>, 'ready'> {
  /**
   * As in {@link ProcessOptions.ready}; a program that isn't Node's is ready when it was executed and has lived for 300 ms.
   * 'fd=N': when it writes a newline to descriptor N. 'port': when all addresses of `listen`, which it binds itself,
   * answer. @default 'auto'
   */
  ready?: 'auto' | 'manual' | 'port' | `fd=${number}` | undefined
  /** The program's own. @default none */
  args?: readonly string[] | undefined
  /** What runs the program: a path, or a command in PATH; null: the program itself. @default process.execPath */
  interpreter?: string | null | undefined
  /** @default process.execArgv, without the inspector's, if `interpreter` is ours; else none */
  interpreterArgs?: readonly string[] | undefined
  /**
   * What if the pid file is locked: reject, or resolve with the daemon that has it, once that is ready. One that is just
   * ending is waited for, and a new one started. @default 'error'
   */
  ifRunning?: 'error' | 'reuse' | undefined
  /** With 'reuse': a running daemon of another version, or of none, is stopped and replaced, once. */
  version?: string | undefined
}

/** The daemon that launch() found or started. `Target` is null only with `pidFile: false`. */
export interface Launched<L extends ListenMap = ListenMap, Target extends string | null = string> {
  readonly pid: number
  /** False: it was running. */
  readonly started: boolean
  /**
   * What stop(), status(), signal(), reload() and connect() take to find this daemon again: the path of its pid file. Null
   * with `pidFile: false`: nothing then finds it again, nor keeps a second one from being started.
   */
  readonly target: Target
  /** The path of the pid file; null with `pidFile: false`. */
  readonly pidFile: Target
  /** Of its listening sockets, by name: HOST:PORT, or a Unix socket's path. */
  readonly addresses: { readonly [K in keyof L]: string }
}

export interface MonitorOptions {
  /**
   * systemd's words: on-failure = non-zero exit, error signal, watchdog; on-abnormal = error signal, watchdog.
   * @default 'on-failure'; 'always' with `workers`
   */
  restart?: 'on-failure' | 'on-abnormal' | 'always' | 'no' | undefined
  /** Restart at once, then wait 100 ms and twice as long each time, up to this. @default 10_000 */
  maxDelay?: number | undefined
  /** A run of this length resets the delay and the count of failures. @default 10_000 */
  steadyAfter?: number | undefined
  /** Give up after this many failures of a worker in a row, with its exit code. @default never */
  maxFailures?: number | undefined
  /** Restart a process whose event loop has not turned for this long. @default never */
  watchdog?: number | undefined
  /** Restart a process whose resident memory passes this. @default never */
  maxMemory?: number | undefined
  /** End a worker's whole process group with it. @default false */
  killTree?: boolean | undefined
}

export type OutputTarget =
  | 'ignore'
  | 'inherit'
  | 'inherit-unless-tty'
  | (string & {})
  | number
  | { readonly fd: number }
  | { path: string; mode?: number | undefined; truncate?: boolean | undefined }

/** A number or ':PORT': every interface, as server.listen(PORT). 'HOST:PORT', '[V6]:PORT', or a path (with a slash): a Unix socket. */
export type ListenTarget =
  | number
  | string
  | {
      host?: string | undefined
      port?: number | undefined
      /** A Unix socket. Without a slash: that file in the run directory; `true`: NAME.KEY.sock there, NAME@HASH.KEY.sock with `instance`. */
      path?: string | true | undefined
      /** Of the socket file. */
      mode?: number | undefined
      /** @default 511 */
      backlog?: number | undefined
      ipv6Only?: boolean | undefined
      reusePort?: boolean | undefined
      udp?: boolean | undefined
    }
export type ListenMap = Readonly<Record<string, ListenTarget>>

export type Limit = number | 'unlimited' | { soft: number | 'unlimited'; hard: number | 'unlimited' }
export type ResourceName =
  | 'as'
  | 'core'
  | 'cpu'
  | 'data'
  | 'fsize'
  | 'locks'
  | 'memlock'
  | 'msgqueue'
  | 'nice'
  | 'nofile'
  | 'nproc'
  | 'rss'
  | 'rtprio'
  | 'rttime'
  | 'sigpending'
  | 'stack'

/** 'reload' reopens the logs, then runs the onReload hooks. CHLD, KILL and STOP can't be mapped. */
export type SignalAction = 'ignore' | 'default' | 'stop' | 'reload' | 'reopen-logs' | ((signal: NodeJS.Signals) => void)
export type SignalMap = { [S in NodeJS.Signals]?: SignalAction | undefined }

export interface PidFileOptions {
  path: string
  /** Set whatever the umask. @default 0o644 */
  mode?: number | undefined
  /**
   * Start although the file is locked: the pid file is taken over with a warning, the other process left alone. Gives up
   * what the lock is for: two may run. @default false
   */
  overwrite?: boolean | undefined
}

/** What daemonize() returns, in the daemon (or in the foreground, where it did not detach). */
export interface Daemon<L extends ListenMap = ListenMap> {
  readonly pid: number
  readonly name: string
  readonly detached: boolean
  /** Where the launcher was started: resolve a user's relative paths against it. */
  readonly startDirectory: string
  /** Index of this worker, 0 where there is one process. */
  readonly worker: number
  /** Null where there is none, and where a supervisor has it. */
  readonly pidFile: PidLock | null
  /** By name; each is what `server.listen()` and dgram's `bind()` take. */
  readonly sockets: { readonly [K in keyof L]: ListenSocket }
  /** Aborts when the daemon is asked to stop. An unhandled AbortError that it causes is no failure. The Daemon itself never keeps the event loop alive. */
  readonly stopping: AbortSignal
  /** Listens on that socket; ready 'auto' waits for it; at stop it drains: answers what is in flight, with `Connection: close`. */
  serve(server: Server | UdpSocket, socket: keyof L & string): Promise<void>
  /** Tells the launcher and the service manager; idempotent. */
  ready(status?: string): void
  /** Holds `idleTimeout` off until disposed. */
  busy(): Disposable
  /** Says in a line what the daemon is doing: in the process title, to the service manager, and as `statusText` of status(). */
  setStatus(text: string): void
  /** Run after the servers have drained, last added first, when asked to stop; awaited up to stopTimeout; then exit 0, or 1 if one failed. `null`: by stop(). */
  onStop(hook: (signal: NodeJS.Signals | null) => unknown): void
  /** Run at a reload, after the logs were reopened, first added first. */
  onReload(hook: () => unknown): void
  /** Reopens the logs that were moved or removed; with `all`, every regular file this process appends to by an absolute path. Returns how many. */
  reopenLogs(options?: { all?: boolean | undefined }): number
  /** Runs the stop hooks, releases the pid file, exits. */
  stop(exitCode?: number): Promise<never>
}

export interface ListenSocket {
  readonly fd: number
  readonly address: string
}
