// The options of daemonize() and launch(), as users write them. `npm run docs` makes docs/daemonize.md's table of the first sentence
// and the @default of each.

/**
 * The options of {@link daemonize}. Times are milliseconds, sizes bytes, modes and umasks numbers (0o022). Every option may
 * be `undefined`, which is as if it were not given.
 */
export interface DaemonizeOptions<L extends ListenMap = ListenMap> extends ProcessOptions<L> {
  /**
   * Whether to detach from the terminal and the session: `true`, `false`, or `'auto'`, unless something supervises the
   * process already. {@link detachContext} tells what does; the environment variable DAEMONIC_DETACH=true|false stands in
   * for `'auto'`. Where it does not detach, the program goes on in the foreground, as this very process.
   * @default 'auto'
   */
  detach?: boolean | 'auto' | undefined
  /**
   * What happens at which signal: `'stop'`, `'reload'`, `'reload-hooks'`, `'reopen-logs'`, `'ignore'`, `'default'` or a function, by the signal's
   * name with SIG. Signals that are not named keep these defaults, all others Node's.
   * @default { SIGTERM: 'stop', SIGINT: 'stop', SIGQUIT: 'stop', SIGHUP: 'reload', SIGTTIN: 'ignore', SIGTTOU: 'ignore', SIGTSTP: 'ignore' }
   */
  signals?: SignalMap | undefined
}

/** What a daemon's process is to be: the options that daemonize() and launch() have in common. */
export interface ProcessOptions<L extends ListenMap = ListenMap> {
  /**
   * Default process title and file names, log lines. At most 64 letters, digits, dots, dashes and underscores.
   * @default the script's base name
   */
  name?: string | undefined
  /**
   * The process title, which ps shows: any text. `daemon.setStatus()` adds to it. Files and log lines keep the name.
   * @default `name`
   */
  title?: string | undefined
  /**
   * Tells daemons of one name apart, such as a project's directory: files are called NAME@HASH. HASH is the beginning of the
   * text's SHA-256; {@link targetOf} gives that name.
   * @default none
   */
  instance?: string | undefined
  /**
   * The working directory, inside `chroot` and open to `user`; `false` stays. It is entered at the call. A file system can't
   * be unmounted while a process works in it.
   * @default '/'
   */
  chdir?: string | false | undefined
  /**
   * The file mode mask; `false` keeps the caller's. It is set at the call. With 0 every file that Node writes would be
   * writable by everybody.
   * @default 0o022
   */
  umask?: number | false | undefined
  /**
   * A new root directory, entered at the call; needs root. Every path that the program uses from then on is one inside:
   * docs/options.md lists what must be there.
   * @default none
   */
  chroot?: string | undefined
  /**
   * The user, a name or an id, taken for good; needs root. It is taken at the call; under a supervisor before the program's
   * first line (see {@link MonitorOptions.startAs}). USER, LOGNAME, HOME and SHELL follow from the start on. An id without an
   * account needs `group` too.
   * @default the real one
   */
  user?: string | number | undefined
  /**
   * The group, a name or an id, taken with the user for good; needs root. Without `user` and `groups` the supplementary groups
   * stay as they are.
   * @default the user's own
   */
  group?: string | number | undefined
  /**
   * The supplementary groups, names or ids, taken with the user for good; needs root. `[]` is none.
   * @default the user's, as initgroups(3)
   */
  groups?: readonly (string | number)[] | undefined
  /**
   * Standard input: `'ignore'` (/dev/null), `'inherit'`, a path, a descriptor or `{ fd }`. A string without a slash or a dot is
   * one of these words, never a file. Paths start where the command was run.
   * @default 'ignore'
   */
  stdin?: 'ignore' | 'inherit' | (string & {}) | number | { readonly fd: number } | undefined
  /**
   * Both outputs: `true` (a file in the log directory), a path, `{ path, mode, truncate }`, a descriptor or `{ fd }`, `'ignore'`,
   * `'inherit'`, `'inherit-unless-tty'`. `stdout` and `stderr` win over it. Files are appended to; a new one has the mode 0o640.
   * A string without a slash or a dot is one of these words, never a file. Symbolic links are refused.
   * @default 'ignore'
   */
  log?: OutputTarget | true | undefined
  /**
   * Standard output: as `log`, but for `true`.
   * @default `log`
   */
  stdout?: OutputTarget | undefined
  /**
   * Standard error: as `log`, but for `true`. Until the daemon is ready, what is written to `'ignore'` is kept, and shown by
   * the launcher if the start fails.
   * @default `log`
   */
  stderr?: OutputTarget | undefined
  /**
   * Descriptors that the caller was given and that stay open, numbers or `{ fd }`. They keep their numbers; all others are
   * closed. What the program opened before the call needs no entry: that code runs again in the daemon.
   * @default []
   */
  preserve?: readonly (number | { readonly fd: number } | null | undefined)[] | undefined
  /**
   * Listening sockets by name, bound by the launcher: a port, `'HOST:PORT'`, a path, or an object. They are bound before the
   * daemon gives up root, and stay open while workers are replaced.
   * @default {}
   */
  listen?: L | undefined
  /**
   * Resource limits, `{ nofile: 4096 }` or `{ nofile: { soft, hard } }`, by the names of getrlimit(2). `'unlimited'` is one too.
   * Raising a hard limit needs root. `core` is 0 unless given: a dump holds everything that was in memory.
   * @default { core: 0 }
   */
  limits?: { [R in ResourceName]?: Limit | undefined } | undefined
  /**
   * The nice value, from -20, most favourable, to 19: setpriority(2). Going below the caller's needs root.
   * @default the caller's
   */
  nice?: number | undefined
  /**
   * How its input and output rank among those of others: `'idle'`, after all others, or `'best-effort:N'`, `'realtime:N'` with a
   * level N from 0, first, to 7. Only I/O schedulers that know priorities heed it, such as BFQ. `'realtime'` needs root.
   * Linux: ioprio_set(2).
   * @default the caller's
   */
  ioPriority?: IoPriority | undefined
  /**
   * How soon the kernel kills it when memory runs out, from -1000, never, to 1000: proc_pid_oom_score_adj(5). Going below the
   * caller's needs root. Linux.
   * @default the caller's
   */
  oomScoreAdjust?: number | undefined
  /**
   * Whether executing set-uid programs gains nothing any more, neither for the daemon nor for its children. sudo(8) and the
   * like no longer work for them. Linux: PR_SET_NO_NEW_PRIVS(2const).
   * @default false
   */
  noNewPrivileges?: boolean | undefined
  /**
   * Variables to add to the environment; `undefined` removes one.
   * @default {}
   */
  env?: Record<string, string | undefined> | undefined
  /**
   * A locked pid file: `true` (NAME.pid in the run directory), a path, `{ path, mode, overwrite }`. A second start is refused
   * while the first daemon runs. A string without a slash is a file in the run directory. Symbolic links are refused.
   * @default false
   */
  pidFile?: string | boolean | PidFileOptions | undefined
  /**
   * When the daemon is ready: `'auto'`, once every socket of `listen` is served or, without any, the main module has been
   * evaluated; `'loaded'`, once that has been, `listen` or not; `'manual'`, at `daemon.ready()`. The launcher returns then, and a
   * daemon that ends before is a failed start. A socket is served by `daemon.serve()`, or by a server of the program's own that
   * listens on its descriptor or address. A main module has been evaluated when its top-level await is over. `daemon.ready()`
   * may come earlier with each of them. After 3 seconds the launcher prints what it waits for.
   * @default 'auto'
   */
  ready?: 'auto' | 'loaded' | 'manual' | undefined
  /**
   * Exit after this long without a connection to `serve()` and without `busy()`, in milliseconds. The daemon then stops as if
   * it were asked to, with the exit code 0.
   * @default never
   */
  idleTimeout?: number | undefined
  /**
   * Whether a supervisor restarts it when it fails: `true`, or how. A native process takes the daemon's place, and the program
   * is its worker.
   * @default false
   */
  monitor?: boolean | MonitorOptions | undefined
  /**
   * So many processes that share the sockets, or `'cpus'`, one for each processor that may be used. Implies `monitor`.
   * @default 1
   */
  workers?: number | 'cpus' | undefined
  /**
   * How long the launcher waits until a daemon that isn't ready is killed, in milliseconds.
   * @default 30_000
   */
  startTimeout?: number | undefined
  /**
   * How long a daemon that is stopping may take until it is ended by force, in milliseconds. The default is less than
   * Kubernetes' 30 s.
   * @default 25_000
   */
  stopTimeout?: number | undefined
  /**
   * How long of `stopTimeout` a daemon that is stopping lets requests and connections end, in milliseconds. What is left is
   * closed then, and the `onStop()` hooks have the rest. A program that ends by its own signal listeners exits then.
   * @default four fifths of `stopTimeout`
   */
  drainTimeout?: number | undefined
}

/** The options of {@link launch}. Three defaults differ from daemonize()'s: `pidFile` and `log` are `true`, and `chdir` stays. */
export interface LaunchOptions<L extends ListenMap = ListenMap> extends Omit<ProcessOptions<L>, 'ready'> {
  /**
   * When the daemon is ready. As in {@link ProcessOptions.ready}; a program that isn't Node's is ready once it and what it has
   * started have lived for `monitor.settle`, a second, and it accepts connections on the sockets of `listen`. `'fd=N'`: when it writes a newline to descriptor N. `'port'`: when all addresses of `listen`, which
   * it binds itself, answer.
   * @default 'auto'
   */
  ready?: 'auto' | 'loaded' | 'manual' | 'port' | `fd=${number}` | undefined
  /**
   * The program's arguments.
   * @default []
   */
  args?: readonly string[] | undefined
  /**
   * What runs the program: a path, or a command in PATH; `null` executes the program itself.
   * @default this Node.js
   */
  interpreter?: string | null | undefined
  /**
   * The interpreter's own arguments, before the program's path.
   * @default process.execArgv without the inspector's flags; none for another interpreter
   */
  interpreterArgs?: readonly string[] | undefined
  /**
   * What to do if the pid file is locked: reject, or `'reuse'`, resolve with the daemon that has it once that is ready. A daemon
   * that is just ending is waited for, and a new one started.
   * @default 'error'
   */
  ifRunning?: 'error' | 'reuse' | undefined
  /**
   * The program's version: with `'reuse'` a running daemon of another version, or of none, is stopped and replaced, once.
   * @default any
   */
  version?: string | undefined
}

/** How a supervisor watches and restarts: the `monitor` option. Times are milliseconds. */
export interface MonitorOptions {
  /**
   * What is restarted, in systemd's words: `'on-failure'` is a non-zero exit code, an error signal, or the watchdog;
   * `'on-abnormal'` is an error signal or the watchdog.
   * @default 'on-failure'; 'always' with `workers`
   */
  restart?: 'on-failure' | 'on-abnormal' | 'always' | 'no' | undefined
  /**
   * The longest pause between two starts. The first restart comes at once, the next after 100 ms, then each pause is twice as
   * long, up to this.
   * @default 10_000
   */
  maxDelay?: number | undefined
  /**
   * The length of a run that resets the pause and the count of failures.
   * @default 10_000
   */
  steadyAfter?: number | undefined
  /**
   * Give up after so many failures of one worker in a row, with its exit code.
   * @default never
   */
  maxFailures?: number | undefined
  /**
   * Restart a process whose event loop has not turned for so long.
   * @default never
   */
  watchdog?: number | undefined
  /**
   * Restart a process whose resident memory passes so many bytes.
   * @default never
   */
  maxMemory?: number | undefined
  /**
   * How long the first new worker of a reload serves beside the old ones, before the first of these is asked to stop; and how
   * long no new worker may exit after the last one has taken over. One that exits earlier fails the reload. A new worker that
   * says itself that it is ready, by `daemon.ready()` or `READY=1`, takes over at once. 0: no worker has to settle. A
   * program that is no Node.js script, and says nothing of itself, is ready when it has lived for so long.
   * @default 1000
   */
  settle?: number | undefined
  /**
   * Whether what a worker has started ends with it. Each worker leads a process group, unless it reads the controlling
   * terminal. When it has exited, the rest of its group gets SIGTERM, and SIGKILL once `stopTimeout` is over. With false the
   * processes go on, and may hold what the next worker needs.
   * @default true
   */
  killTree?: boolean | undefined
  /**
   * How a reload has a new worker take over. `'auto'`: it starts beside the old one, which stops when the new one is ready and
   * has settled; a program that binds its own port can't be beside itself, and then the reload is refused. `'roll-over'`: beside
   * the old one in any case, for a program that binds its port with SO_REUSEPORT, or one that the kernel
   * chooses. `'restart'`: it starts when the old one has
   * exited.
   * @default 'auto'
   */
  reload?: 'auto' | 'roll-over' | 'restart' | undefined
  /**
   * The signal at which the program reloads by itself. A reload then sends it, and fails if a worker exits within `settle`; no
   * worker is replaced.
   * @default none: a reload replaces the workers
   */
  reloadSignal?: NodeJS.Signals | undefined
  /**
   * Who a Node.js program is until its call where it is to have a `user`: that user from its exec on, or `'root'`. Where only
   * the call names the user, the first worker begins as root; its successors don't. With `'root'`, which `chroot` implies, a
   * worker is not started where others than root can write its script, interpreter, preloads or package.json, or a directory
   * above one of these.
   * @default 'user'
   */
  startAs?: 'user' | 'root' | undefined
}

/**
 * Where an output goes. `'ignore'` is /dev/null, `'inherit'` the caller's, `'inherit-unless-tty'` the caller's unless that is a
 * terminal; another string is a path, a number or `fd` an open descriptor. `mode` is a new file's, 0o640 by default;
 * `truncate` empties the file at the start.
 */
export type OutputTarget =
  | 'ignore'
  | 'inherit'
  | 'inherit-unless-tty'
  | (string & {})
  | number
  | { readonly fd: number }
  | { path: string; mode?: number | undefined; truncate?: boolean | undefined }

/**
 * Where to listen. A number or ':PORT' is every interface, as server.listen(PORT); else 'HOST:PORT', '[IPV6]:PORT', the path of
 * a Unix socket (with a slash), or an object.
 */
export type ListenTarget =
  | number
  | string
  | {
      host?: string | undefined
      port?: number | undefined
      /** A Unix socket. Without a slash: that file in the run directory; `true`: NAME.KEY.sock there, NAME@HASH.KEY.sock with `instance`. */
      path?: string | true | undefined
      /** The mode of the socket file, whatever the umask. @default what the umask leaves */
      mode?: number | undefined
      /** How many connections may wait to be accepted. @default 511 */
      backlog?: number | undefined
      /** Whether an IPv6 socket refuses IPv4. @default false */
      ipv6Only?: boolean | undefined
      /** Whether each worker gets a socket of its own at this address: SO_REUSEPORT. @default false */
      reusePort?: boolean | undefined
      /** Whether it is a datagram socket. @default false */
      udp?: boolean | undefined
    }

/** Listening sockets by name. */
export type ListenMap = Readonly<Record<string, ListenTarget>>

/** A resource limit: one number for both limits, or the soft and the hard one. */
export type Limit = number | 'unlimited' | { soft: number | 'unlimited'; hard: number | 'unlimited' }

/** A resource that can be limited, by its name in getrlimit(2). Not every system has all of them. */
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

/** An I/O scheduling class, with the level inside of it: ioprio_set(2). */
export type IoPriority = 'idle' | `${'best-effort' | 'realtime'}:${0 | 1 | 2 | 3 | 4 | 5 | 6 | 7}`

/**
 * What a daemon does at a signal. 'reload' reopens the logs, then runs the onReload hooks; under a supervisor it replaces the
 * workers, where 'reload-hooks' runs the hooks in each of them. 'default' is what the kernel does.
 */
export type SignalAction =
  | 'ignore'
  | 'default'
  | 'stop'
  | 'reload'
  | 'reload-hooks'
  | 'reopen-logs'
  | ((signal: NodeJS.Signals) => unknown)

/** Actions by the name of the signal. CHLD, KILL and STOP can't be mapped. */
export type SignalMap = { [S in NodeJS.Signals]?: SignalAction | undefined }

/** A pid file in detail: the `pidFile` option. */
export interface PidFileOptions {
  /** Without a slash: that file in the run directory. */
  path: string
  /** The mode of the file, set whatever the umask. @default 0o644 */
  mode?: number | undefined
  /**
   * Start although the file is locked: the pid file is taken over with a warning, and the other process goes on. This gives up
   * what the lock is for: two daemons may run.
   * @default false
   */
  overwrite?: boolean | undefined
}
