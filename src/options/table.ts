// Every option of daemonize() and launch(), once. Lists of options in the code are made of this table; the tables of
// README.md and docs/ are written from it by `npm run docs`, or compared with it by __test__/option-table.test.ts.
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
  /** The option of `daemonic start`, without its dashes; null where the command says it otherwise, or not at all. */
  readonly flag: string | null
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
  name: { takesEffect: ['launcher', 'call'], decidedBy: 'each', flag: 'name' },
  instance: { takesEffect: ['launcher', 'call'], decidedBy: 'start', flag: 'instance' },
  detach: { takesEffect: ['launcher'], decidedBy: 'program', flag: null, default: 'auto' },
  chdir: { takesEffect: ['call'], decidedBy: 'each', flag: 'chdir', default: '/', launchDefault: false },
  umask: { takesEffect: ['call'], decidedBy: 'each', flag: 'umask', default: 0o022 },
  chroot: { takesEffect: ['call'], decidedBy: 'identity', flag: 'chroot' },
  user: { takesEffect: ['call'], decidedBy: 'identity', flag: 'user' },
  group: { takesEffect: ['call'], decidedBy: 'identity', flag: 'group' },
  groups: { takesEffect: ['call'], decidedBy: 'identity', flag: 'groups' },
  stdin: { takesEffect: ['launcher'], decidedBy: 'start', flag: 'stdin', default: 'ignore' },
  log: { takesEffect: ['launcher'], decidedBy: 'start', flag: 'log', default: 'ignore' },
  stdout: { takesEffect: ['launcher'], decidedBy: 'start', flag: 'stdout' },
  stderr: { takesEffect: ['launcher'], decidedBy: 'start', flag: 'stderr' },
  preserve: { takesEffect: ['exec'], decidedBy: 'start', flag: 'preserve', default: [] },
  listen: { takesEffect: ['launcher', 'call'], decidedBy: 'each', flag: 'listen', default: {} },
  // Node.js raises the soft limit of descriptors when it boots: that one is set again at the call.
  limits: { takesEffect: ['exec', 'call'], decidedBy: 'each', flag: 'limit', default: { core: 0 } },
  nice: { takesEffect: ['exec'], decidedBy: 'each', flag: 'nice' },
  ioPriority: { takesEffect: ['exec'], decidedBy: 'each', flag: 'io-priority' },
  oomScoreAdjust: { takesEffect: ['exec'], decidedBy: 'each', flag: 'oom-score-adjust' },
  noNewPrivileges: { takesEffect: ['exec'], decidedBy: 'each', flag: 'no-new-privileges', default: false },
  signals: { takesEffect: ['call'], decidedBy: 'program', flag: null, default: SIGNALS },
  env: { takesEffect: ['exec'], decidedBy: 'each', flag: 'env', default: {} },
  pidFile: { takesEffect: ['launcher'], decidedBy: 'start', flag: 'pid-file', default: false, launchDefault: true },
  ready: { takesEffect: ['call'], decidedBy: 'each', flag: 'ready', default: 'auto' },
  idleTimeout: { takesEffect: ['call'], decidedBy: 'each', flag: 'idle-timeout' },
  monitor: { takesEffect: ['launcher'], decidedBy: 'supervision', flag: 'monitor', default: false },
  workers: { takesEffect: ['launcher'], decidedBy: 'supervision', flag: 'workers', default: 1 },
  startTimeout: { takesEffect: ['launcher'], decidedBy: 'start', flag: 'start-timeout', default: 30_000 },
  stopTimeout: { takesEffect: ['call'], decidedBy: 'each', flag: 'stop-timeout', default: 25_000 },
  args: { takesEffect: ['exec'], decidedBy: 'launch', flag: null, default: [] },
  interpreter: { takesEffect: ['exec'], decidedBy: 'launch', flag: 'interpreter' },
  interpreterArgs: { takesEffect: ['exec'], decidedBy: 'launch', flag: null },
  ifRunning: { takesEffect: ['launcher'], decidedBy: 'launch', flag: 'if-running', default: 'error' },
  version: { takesEffect: ['launcher'], decidedBy: 'launch', flag: null },
} as const satisfies { readonly [K in OptionName]: OptionRow<K> }

/** The parts of the `monitor` option: how the command spells them, and their defaults. */
export const MONITOR_OPTIONS = {
  restart: { flag: 'restart' },
  maxDelay: { flag: 'max-delay', default: 10_000 },
  steadyAfter: { flag: 'steady-after', default: 10_000 },
  maxFailures: { flag: 'max-failures' },
  watchdog: { flag: 'watchdog' },
  maxMemory: { flag: 'max-memory' },
  settle: { flag: 'settle', default: 1_000 },
  killTree: { flag: 'kill-tree', default: false },
} as const satisfies { readonly [K in keyof MonitorOptions]-?: { readonly flag: string; readonly default?: unknown } }

/** The names of the options whose row in the table has this in it. */
type NamesWith<Row> = { [K in OptionName]: (typeof OPTIONS)[K] extends Row ? K : never }[OptionName]

/** The options that the command has a flag for. */
export type SpelledOption = NamesWith<{ readonly flag: string }>

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
