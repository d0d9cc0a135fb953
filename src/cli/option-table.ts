// Every option of the command, once: parsing, help, manual pages, completions and docs/cli.md are made of this table.
import type { OptionSyntax } from '../command/option-parser.js'
import { MONITOR_OPTIONS, OPTIONS, type SpelledOption } from '../options/table.js'

/** What the text of a value is read as. */
export type Kind =
  | 'text'
  | 'path'
  | 'duration'
  | 'since'
  | 'size'
  | 'octal'
  | 'integer'
  | 'workers'
  | 'signal'
  | 'assignment'
  | 'limit'
  | 'listen'
  | 'list'
  | 'descriptor'
  | 'stream'
  | 'account'
  | 'ready'
  | 'choice'

/** An option of the command. */
export interface OptionDefinition extends OptionSyntax {
  /** What its value is read as; absent for a flag. */
  readonly kind?: Kind
  readonly choices?: readonly string[]
  /** The option of launch() that it is, as `nice` or `monitor.restart`; absent where launch() has none. */
  readonly api?: string
  readonly group: Group
  /** The default as help shows it. Words with RUNDIR, STATEDIR and NAME in them are resolved where help is shown. */
  readonly default?: string
}

/** The groups of help, in its order. */
export const GROUPS = [
  'Program',
  'Process',
  'Identity',
  'Files',
  'Sockets',
  'Readiness',
  'Supervision',
  'Target',
  'Output',
] as const
/** A group of help. */
export type Group = (typeof GROUPS)[number]

const CONFIG = {
  name: 'config',
  kind: 'path',
  value: 'FILE',
  group: 'Program',
  help: 'take daemons from a JSON file or a module with defineConfig(); names, or none for all of them',
} as const satisfies OptionDefinition

/** Options about what the command prints. */
export const OUTPUT_OPTIONS = [
  { name: 'verbose', short: 'v', repeatable: true, group: 'Output', help: 'tell more; twice or thrice: yet more' },
  { name: 'quiet', short: 'q', group: 'Output', help: 'print errors alone' },
  { name: 'json', group: 'Output', help: 'print JSON, one object a line' },
  { name: 'help', short: 'h', group: 'Output', help: 'show this help' },
] as const satisfies readonly OptionDefinition[]

/** Options about which daemons are meant. */
export const TARGET_OPTIONS = [{ ...CONFIG, group: 'Target' }] as const satisfies readonly OptionDefinition[]

/** What the command says of an option that the library has too; its name is in the library's table. */
type Flag = Omit<OptionDefinition, 'name' | 'api'>

/** The options of launch() that the command has: one that is missing doesn't compile. */
const LAUNCH_FLAGS: { readonly [K in SpelledOption]: Flag } = {
  name: {
    kind: 'text',
    value: 'NAME',
    group: 'Identity',
    help: 'what it is called, and its files',
    default: 'SCRIPT’s base name without extension',
  },
  instance: {
    kind: 'text',
    value: 'TEXT',
    group: 'Identity',
    help: 'tells daemons of one name apart, e.g. a project’s directory',
  },
  chdir: { kind: 'path', value: 'DIR', group: 'Process', help: 'working directory', default: 'stay here' },
  umask: { kind: 'octal', value: 'MODE', group: 'Process', help: 'file mode mask', default: '022' },
  chroot: { kind: 'path', value: 'DIR', group: 'Identity', help: 'root directory; needs root' },
  user: { kind: 'account', value: 'USER', group: 'Identity', help: 'name or id; needs root' },
  group: { kind: 'account', value: 'GROUP', group: 'Identity', help: 'name or id', default: 'the user’s own' },
  groups: { kind: 'list', value: 'A,B', group: 'Identity', help: 'supplementary groups', default: 'the user’s' },
  stdin: {
    kind: 'stream',
    value: 'PATH',
    group: 'Files',
    help: 'a path, a descriptor, ignore or inherit',
    default: 'ignore',
  },
  log: {
    kind: 'stream',
    value: 'PATH',
    group: 'Files',
    help: 'both outputs: a path, a descriptor, ignore, inherit or inherit-unless-tty',
    default: 'STATEDIR/NAME.log',
  },
  stdout: { kind: 'stream', value: 'PATH', group: 'Files', help: 'instead of --log' },
  stderr: { kind: 'stream', value: 'PATH', group: 'Files', help: 'instead of --log' },
  preserve: {
    kind: 'descriptor',
    value: 'FD',
    repeatable: true,
    group: 'Process',
    help: 'keep a descriptor of the shell’s open (3<file)',
  },
  listen: {
    kind: 'listen',
    value: '[NAME=]ADDRESS',
    repeatable: true,
    group: 'Sockets',
    help: 'a port, HOST:PORT or a path, bound before the program runs; NAME is http unless given',
  },
  limits: {
    kind: 'limit',
    value: 'NAME=N[:HARD]',
    repeatable: true,
    group: 'Process',
    help: 'resource limit, as nofile=65536; N may be unlimited',
    default: 'core=0',
  },
  nice: { kind: 'integer', value: 'N', group: 'Process', help: 'nice value, -20 to 19' },
  ioPriority: {
    kind: 'text',
    value: 'CLASS',
    group: 'Process',
    help: 'rank of its input and output: idle, or best-effort:N or realtime:N with N from 0, first, to 7',
  },
  oomScoreAdjust: { kind: 'integer', value: 'N', group: 'Process', help: 'from -1000, never killed, to 1000' },
  noNewPrivileges: { group: 'Process', help: 'nothing is gained by executing set-uid programs' },
  env: {
    kind: 'assignment',
    value: 'NAME=VALUE',
    repeatable: true,
    group: 'Program',
    help: 'add to the environment; NAME alone removes one',
  },
  pidFile: {
    kind: 'text',
    value: 'PATH',
    group: 'Files',
    help: 'locked by the daemon; without a slash: in the run directory',
    default: 'RUNDIR/NAME.pid',
  },
  ready: {
    kind: 'ready',
    value: 'WHEN',
    group: 'Readiness',
    help: "auto, manual (a Node.js script: daemonize({ ready: 'manual' }), daemon.ready(); others: READY=1 on NOTIFY_SOCKET), fd=N (a newline there), port (the addresses of --listen answer)",
    default: 'auto',
  },
  idleTimeout: {
    kind: 'duration',
    value: 'TIME',
    group: 'Sockets',
    help: 'end it after this long without a connection',
    default: 'never',
  },
  monitor: { group: 'Supervision', help: 'restart it when it fails' },
  workers: { kind: 'workers', value: 'N|cpus', group: 'Supervision', help: 'copies that share the listening sockets' },
  startTimeout: {
    kind: 'duration',
    value: 'TIME',
    group: 'Readiness',
    help: 'end it if it is not ready by then',
    default: '30s',
  },
  stopTimeout: {
    kind: 'duration',
    value: 'TIME',
    group: 'Readiness',
    help: 'from the stop signal to SIGKILL',
    default: '25s',
  },
  interpreter: { kind: 'text', value: 'PROGRAM', group: 'Program', help: 'what runs SCRIPT', default: 'this Node.js' },
  ifRunning: {
    kind: 'choice',
    value: 'WHAT',
    choices: ['error', 'reuse'],
    group: 'Readiness',
    help: 'fail, or be content with the running one',
    default: 'error',
  },
}

/** The parts of launch()'s `monitor` option. */
const MONITOR_FLAGS: { readonly [K in keyof typeof MONITOR_OPTIONS]: Flag } = {
  restart: {
    kind: 'choice',
    value: 'WHEN',
    choices: ['no', 'on-failure', 'on-abnormal', 'always'],
    group: 'Supervision',
    help: 'no, on-failure, on-abnormal (signal, watchdog), always',
    default: 'no; on-failure with --monitor; always with --workers',
  },
  maxDelay: {
    kind: 'duration',
    value: 'TIME',
    group: 'Supervision',
    help: 'the longest wait between restarts',
    default: '10s',
  },
  steadyAfter: {
    kind: 'duration',
    value: 'TIME',
    group: 'Supervision',
    help: 'a run of this length resets delay and count',
    default: '10s',
  },
  maxFailures: {
    kind: 'integer',
    value: 'N',
    group: 'Supervision',
    help: 'give up after so many in a row',
    default: 'never',
  },
  maxMemory: {
    kind: 'size',
    value: 'SIZE',
    group: 'Supervision',
    help: 'end what takes more, as 512M: for good without --monitor, --restart or --workers, which start it again',
    default: 'never',
  },
  watchdog: {
    kind: 'duration',
    value: 'TIME',
    group: 'Supervision',
    help: 'end what hangs for this long: for good without --monitor, --restart or --workers',
    default: 'never',
  },
  settle: {
    kind: 'duration',
    value: 'TIME',
    group: 'Supervision',
    help: 'a new worker serves for so long before a reload stops the first old one',
    default: '1s',
  },
  killTree: { group: 'Supervision', help: 'end a worker’s whole process group with it' },
}

/** Options of `start` and `run` that the library doesn't have. */
const COMMAND_FLAGS = [
  CONFIG,
  {
    name: 'env-file',
    kind: 'path',
    value: 'FILE',
    repeatable: true,
    group: 'Program',
    help: 'add what the file assigns; --env wins',
  },
  {
    name: 'overwrite-pid-file',
    group: 'Files',
    help: 'start although the pid file is locked; the other process goes on',
  },
] as const satisfies readonly OptionDefinition[]

/** The options that `start` and `run` share. */
export const START_OPTIONS: readonly OptionDefinition[] = [
  ...named(LAUNCH_FLAGS, OPTIONS, ''),
  ...named(MONITOR_FLAGS, MONITOR_OPTIONS, 'monitor.'),
  ...COMMAND_FLAGS,
]

function named<K extends string>(
  flags: Readonly<Record<K, Flag>>,
  table: Readonly<Record<NoInfer<K>, { readonly flag: string }>>,
  prefix: string,
): OptionDefinition[] {
  const keys = Object.keys(flags) as K[]
  return keys.map(key => ({ name: table[key].flag, api: `${prefix}${key}`, ...flags[key] }))
}
