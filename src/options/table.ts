// Every option of daemonize() and launch(), once. Lists of options in the code are made of this table; the tables of
// docs/ is written from it by `npm run docs`, or compared with it by __test__/option-table.test.ts.
import type { DaemonizeOptions, LaunchOptions, MonitorOptions, SignalMap } from '../option-types.js'

/** The name of an option of daemonize(), of launch(), or of both. */
export type OptionName = keyof DaemonizeOptions | keyof LaunchOptions

/**
 * The moments at which an option takes effect.
 * - `launcher`: in the process that starts the daemon, before it forks.
 * - `exec`: in the new process, before it executes the program.
 * - `call`: in the daemon itself, at its daemonize() call; in a launched Node.js program before its first line.
 */
export type Phase = 'launcher' | 'exec' | 'call'

/**
 * Who decides on an option where launch() or the command starts a program that calls daemonize() itself.
 * - `launch`: launch() alone has the option.
 * - `program`: daemonize() alone has the option.
 * - `start`: the start does; the call comes too late for it.
 * - `identity`, `supervision`: the start, if it was given any option of this group; else the call.
 * - `each`: the start, if it was given this option; else the call.
 */
export type Decider = 'launch' | 'program' | 'start' | 'identity' | 'supervision' | 'each'

/** What the table says of the option `K`. Who has the option and who decides on it must agree, or it doesn't compile. */
interface OptionRow<K extends OptionName> {
  readonly takesEffect: readonly Phase[]
  readonly decidedBy: K extends keyof LaunchOptions
    ? K extends keyof DaemonizeOptions
      ? Exclude<Decider, 'launch' | 'program'>
      : 'launch'
    : 'program'
  /** The default, where it is a value. Else it follows from something else: its `@default` in types.ts says from what. */
  readonly default?: unknown
  /** The default of launch(), where it is another. */
  readonly launchDefault?: unknown
}

const SIGNALS: SignalMap = {
  SIGTTIN: 'ignore',
  SIGTTOU: 'ignore',
  SIGTSTP: 'ignore',
  SIGTERM: 'stop',
  SIGINT: 'stop',
  SIGQUIT: 'stop',
  SIGHUP: 'reload',
}

/** The options, in the order in which messages and documents list them. */
export const OPTIONS = {
  name: { takesEffect: ['launcher', 'call'], decidedBy: 'each' },
  title: { takesEffect: ['call'], decidedBy: 'each' },
  instance: { takesEffect: ['launcher', 'call'], decidedBy: 'start' },
  detach: { takesEffect: ['launcher'], decidedBy: 'program', default: 'auto' },
  chdir: { takesEffect: ['call'], decidedBy: 'each', default: '/', launchDefault: false },
  umask: { takesEffect: ['call'], decidedBy: 'each', default: 0o022 },
  chroot: { takesEffect: ['call'], decidedBy: 'identity' },
  user: { takesEffect: ['exec', 'call'], decidedBy: 'identity' },
  group: { takesEffect: ['exec', 'call'], decidedBy: 'identity' },
  groups: { takesEffect: ['exec', 'call'], decidedBy: 'identity' },
  stdin: { takesEffect: ['launcher'], decidedBy: 'start', default: 'ignore' },
  log: { takesEffect: ['launcher'], decidedBy: 'start', default: 'ignore', launchDefault: true },
  stdout: { takesEffect: ['launcher'], decidedBy: 'start' },
  stderr: { takesEffect: ['launcher'], decidedBy: 'start' },
  preserve: { takesEffect: ['exec'], decidedBy: 'start', default: [] },
  listen: { takesEffect: ['launcher', 'call'], decidedBy: 'each', default: {} },
  // Node.js raises the soft limit of descriptors when it boots: that one is set again at the call.
  limits: { takesEffect: ['exec', 'call'], decidedBy: 'each', default: { core: 0 } },
  nice: { takesEffect: ['exec'], decidedBy: 'each' },
  ioPriority: { takesEffect: ['exec'], decidedBy: 'each' },
  oomScoreAdjust: { takesEffect: ['exec'], decidedBy: 'each' },
  noNewPrivileges: { takesEffect: ['exec'], decidedBy: 'each', default: false },
  signals: { takesEffect: ['call'], decidedBy: 'program', default: SIGNALS },
  env: { takesEffect: ['exec'], decidedBy: 'each', default: {} },
  pidFile: { takesEffect: ['launcher'], decidedBy: 'start', default: false, launchDefault: true },
  ready: { takesEffect: ['call'], decidedBy: 'each', default: 'auto' },
  idleTimeout: { takesEffect: ['call'], decidedBy: 'each' },
  monitor: { takesEffect: ['launcher'], decidedBy: 'supervision', default: false },
  workers: { takesEffect: ['launcher'], decidedBy: 'supervision', default: 1 },
  startTimeout: { takesEffect: ['launcher'], decidedBy: 'start', default: 30_000 },
  stopTimeout: { takesEffect: ['call'], decidedBy: 'each', default: 25_000 },
  drainTimeout: { takesEffect: ['call'], decidedBy: 'each' },
  args: { takesEffect: ['exec'], decidedBy: 'launch', default: [] },
  interpreter: { takesEffect: ['exec'], decidedBy: 'launch' },
  interpreterArgs: { takesEffect: ['exec'], decidedBy: 'launch' },
  ifRunning: { takesEffect: ['launcher'], decidedBy: 'launch', default: 'error' },
  version: { takesEffect: ['launcher'], decidedBy: 'launch' },
} as const satisfies { readonly [K in OptionName]: OptionRow<K> }

/** The parts of the `monitor` option, and their defaults. */
export const MONITOR_OPTIONS = {
  restart: {},
  maxDelay: { default: 10_000 },
  steadyAfter: { default: 10_000 },
  maxFailures: {},
  watchdog: {},
  maxMemory: {},
  settle: { default: 1_000 },
  killTree: { default: true },
  reload: { default: 'auto' },
  reloadSignal: {},
  startAs: { default: 'user' },
} as const satisfies { readonly [K in keyof MonitorOptions]-?: { readonly default?: unknown } }

/** The names of the options whose row in the table has this in it. */
type NamesWith<Row> = { [K in OptionName]: (typeof OPTIONS)[K] extends Row ? K : never }[OptionName]

/** The names of all options, in the order of the table. */
export const OPTION_NAMES = Object.keys(OPTIONS) as readonly OptionName[]

/** Options that daemonize() has. */
export const DAEMONIZE_OPTIONS = OPTION_NAMES.filter(name => OPTIONS[name].decidedBy !== 'launch')

/** Options that launch() has. */
export const LAUNCH_OPTIONS = OPTION_NAMES.filter(name => OPTIONS[name].decidedBy !== 'program')

/** The options on which this one decides, in the order of the table. */
export function decidedBy<const D extends Decider>(decider: D): readonly NamesWith<{ readonly decidedBy: D }>[] {
  return OPTION_NAMES.filter(name => OPTIONS[name].decidedBy === decider) as NamesWith<{ readonly decidedBy: D }>[]
}

/** Whether the option takes effect in this phase, perhaps in others too. */
export function takesEffect(name: OptionName, phase: Phase): boolean {
  return (OPTIONS[name].takesEffect as readonly Phase[]).includes(phase)
}

/** How the command spells an option. */
export interface Flag {
  /** The name without dashes. */
  readonly name: string
  /** What stands for the value in help; absent where the flag takes none. */
  readonly value?: string
  /** What its value is read as: a `Kind` of src/cli/option-table.ts, which holds this to be one. */
  readonly kind?: string
  readonly choices?: readonly string[]
  readonly repeatable?: true
  /** The flag stands for the value false. */
  readonly isNegation?: true
  /** The group of help that shows it: a `Group` of src/cli/option-table.ts. */
  readonly group: string
  readonly help: string
  /** The default as help shows it. Words with RUNDIR, STATEDIR and NAME in them are resolved where help is shown. */
  readonly default?: string
}

/** How `daemonic start` spells each option; null where the command says it otherwise, or not at all. */
export const FLAGS = {
  name: {
    name: 'name',
    kind: 'text',
    value: 'NAME',
    group: 'Identity',
    help: 'what it is called, and its files',
    default: 'SCRIPT’s base name without extension',
  },
  title: {
    name: 'title',
    kind: 'text',
    value: 'TEXT',
    group: 'Identity',
    help: 'what ps shows',
    default: 'NAME',
  },
  instance: {
    name: 'instance',
    kind: 'text',
    value: 'TEXT',
    group: 'Identity',
    help: 'tells daemons of one name apart, e.g. a project’s directory',
  },
  detach: null,
  chdir: {
    name: 'chdir',
    kind: 'path',
    value: 'DIR',
    group: 'Process',
    help: 'working directory',
    default: 'stay here',
  },
  umask: { name: 'umask', kind: 'octal', value: 'MODE', group: 'Process', help: 'file mode mask', default: '022' },
  chroot: { name: 'chroot', kind: 'path', value: 'DIR', group: 'Identity', help: 'root directory; needs root' },
  user: { name: 'user', kind: 'account', value: 'USER', group: 'Identity', help: 'name or id; needs root' },
  group: {
    name: 'group',
    kind: 'account',
    value: 'GROUP',
    group: 'Identity',
    help: 'name or id',
    default: 'the user’s own',
  },
  groups: {
    name: 'groups',
    kind: 'list',
    value: 'A,B',
    group: 'Identity',
    help: 'supplementary groups',
    default: 'the user’s',
  },
  stdin: {
    name: 'stdin',
    kind: 'stream',
    value: 'PATH',
    group: 'Files',
    help: 'a path, a descriptor, ignore or inherit',
    default: 'ignore',
  },
  log: {
    name: 'log',
    kind: 'stream',
    value: 'PATH',
    group: 'Files',
    help: 'both outputs: a path, a descriptor, ignore, inherit or inherit-unless-tty',
    default: 'STATEDIR/NAME.log',
  },
  stdout: { name: 'stdout', kind: 'stream', value: 'PATH', group: 'Files', help: 'instead of --log' },
  stderr: { name: 'stderr', kind: 'stream', value: 'PATH', group: 'Files', help: 'instead of --log' },
  preserve: {
    name: 'preserve',
    kind: 'descriptor',
    value: 'FD',
    repeatable: true,
    group: 'Process',
    help: 'keep a descriptor of the shell’s open (3<file)',
  },
  listen: {
    name: 'listen',
    kind: 'listen',
    value: '[NAME=]ADDRESS',
    repeatable: true,
    group: 'Sockets',
    help: 'a port, HOST:PORT or a path, bound before the program runs; NAME is http unless given, tcp of what is no script',
  },
  limits: {
    name: 'limit',
    kind: 'limit',
    value: 'NAME=N[:HARD]',
    repeatable: true,
    group: 'Process',
    help: 'resource limit, as nofile=65536; N may be unlimited',
    default: 'core=0',
  },
  nice: { name: 'nice', kind: 'integer', value: 'N', group: 'Process', help: 'nice value, -20 to 19' },
  ioPriority: {
    name: 'io-priority',
    kind: 'text',
    value: 'CLASS',
    group: 'Process',
    help: 'rank of its input and output: idle, or best-effort:N or realtime:N with N from 0, first, to 7',
  },
  oomScoreAdjust: {
    name: 'oom-score-adjust',
    kind: 'integer',
    value: 'N',
    group: 'Process',
    help: 'from -1000, never killed, to 1000',
  },
  noNewPrivileges: {
    name: 'no-new-privileges',
    group: 'Process',
    help: 'nothing is gained by executing set-uid programs',
  },
  signals: null,
  env: {
    name: 'env',
    kind: 'assignment',
    value: 'NAME=VALUE',
    repeatable: true,
    group: 'Program',
    help: 'add to the environment; NAME alone removes one',
  },
  pidFile: {
    name: 'pid-file',
    kind: 'text',
    value: 'PATH',
    group: 'Files',
    help: 'locked by the daemon; without a slash: in the run directory',
    default: 'RUNDIR/NAME.pid',
  },
  ready: {
    name: 'ready',
    kind: 'ready',
    value: 'WHEN',
    group: 'Readiness',
    help: "auto (others than Node.js scripts: has lived for --settle; faster and exact are the last three), loaded (the main module alone), manual (a Node.js script: daemonize({ ready: 'manual' }), daemon.ready(); others: READY=1 on NOTIFY_SOCKET), fd=N (a newline there), port (the addresses of --listen answer)",
    default: 'auto',
  },
  idleTimeout: {
    name: 'idle-timeout',
    kind: 'duration',
    value: 'TIME',
    group: 'Sockets',
    help: 'end it after this long without a connection',
    default: 'never',
  },
  monitor: { name: 'monitor', group: 'Supervision', help: 'restart it when it fails' },
  workers: {
    name: 'workers',
    kind: 'workers',
    value: 'N|cpus',
    group: 'Supervision',
    help: 'copies that share the listening sockets',
  },
  startTimeout: {
    name: 'start-timeout',
    kind: 'duration',
    value: 'TIME',
    group: 'Readiness',
    help: 'end it if it is not ready by then',
    default: '30s',
  },
  stopTimeout: {
    name: 'stop-timeout',
    kind: 'duration',
    value: 'TIME',
    group: 'Readiness',
    help: 'from the stop signal to SIGKILL',
    default: '25s',
  },
  drainTimeout: {
    name: 'drain-timeout',
    kind: 'duration',
    value: 'TIME',
    group: 'Readiness',
    help: 'how much of that requests and connections have to end',
    default: 'four fifths of it',
  },
  args: null,
  interpreter: {
    name: 'interpreter',
    kind: 'text',
    value: 'PROGRAM',
    group: 'Program',
    help: 'what runs SCRIPT',
    default: 'this Node.js',
  },
  interpreterArgs: {
    name: 'interpreter-arg',
    kind: 'text',
    value: 'ARG',
    repeatable: true,
    group: 'Program',
    help: 'an argument of what runs SCRIPT, before it: --interpreter-arg=--trace-warnings',
  },
  ifRunning: {
    name: 'if-running',
    kind: 'choice',
    value: 'WHAT',
    choices: ['error', 'reuse'],
    group: 'Readiness',
    help: 'fail, or be content with the running one',
    default: 'error',
  },
  version: null,
} as const satisfies { readonly [K in OptionName]: Flag | null }

/** How `daemonic start` spells the parts of the `monitor` option. */
export const MONITOR_FLAGS = {
  restart: {
    name: 'restart',
    kind: 'choice',
    value: 'WHEN',
    choices: ['no', 'on-failure', 'on-abnormal', 'always'],
    group: 'Supervision',
    help: 'no, on-failure, on-abnormal (signal, watchdog), always',
    default: 'no; on-failure with --monitor; always with --workers',
  },
  maxDelay: {
    name: 'max-delay',
    kind: 'duration',
    value: 'TIME',
    group: 'Supervision',
    help: 'the longest wait between restarts',
    default: '10s',
  },
  steadyAfter: {
    name: 'steady-after',
    kind: 'duration',
    value: 'TIME',
    group: 'Supervision',
    help: 'a run of this length resets delay and count',
    default: '10s',
  },
  maxFailures: {
    name: 'max-failures',
    kind: 'integer',
    value: 'N',
    group: 'Supervision',
    help: 'give up after so many in a row',
    default: 'never',
  },
  watchdog: {
    name: 'watchdog',
    kind: 'duration',
    value: 'TIME',
    group: 'Supervision',
    help: 'end what hangs for this long: for good without --monitor, --restart or --workers',
    default: 'never',
  },
  maxMemory: {
    name: 'max-memory',
    kind: 'size',
    value: 'SIZE',
    group: 'Supervision',
    help: 'end what takes more, as 512M: for good without --monitor, --restart or --workers, which start it again',
    default: 'never',
  },
  settle: {
    name: 'settle',
    kind: 'duration',
    value: 'TIME',
    group: 'Supervision',
    help: 'a new worker serves for so long before a reload stops the first old one; what is no Node.js script is ready after so long',
    default: '1s',
  },
  killTree: {
    name: 'no-kill-tree',
    isNegation: true,
    group: 'Supervision',
    help: 'leave the rest of a worker’s process group alone when the worker has ended',
  },
  reload: {
    name: 'reload',
    kind: 'choice',
    value: 'HOW',
    choices: ['auto', 'roll-over', 'restart'],
    group: 'Supervision',
    help: 'auto: a new worker beside the old one, refused where it binds its own port; roll-over: always beside it; restart: stop the old one first',
    default: 'auto',
  },
  reloadSignal: {
    name: 'reload-signal',
    kind: 'signal',
    value: 'SIGNAL',
    group: 'Supervision',
    help: 'a reload sends the program this signal, as HUP, instead of replacing it',
  },
  startAs: {
    name: 'start-as',
    kind: 'choice',
    value: 'WHO',
    choices: ['user', 'root'],
    group: 'Supervision',
    help: 'who a Node.js script with a --user is until its daemonize() call, from its second start on at the latest',
    default: 'user',
  },
} as const satisfies { readonly [K in keyof MonitorOptions]-?: Flag }
