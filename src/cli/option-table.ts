// Every option of the command, once: parsing, help, man pages and completions are made of this table.

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

export interface OptionDefinition {
  readonly name: string
  readonly short?: string
  /** Absent: a flag. */
  readonly kind?: Kind
  /** What stands for the value in help. */
  readonly value?: string
  readonly choices?: readonly string[]
  readonly repeatable?: true
  /** The option of launch() that it is, where it is one. */
  readonly api?: string
  readonly group: Group
  readonly help: string
  /** Words with RUNDIR, STATEDIR and NAME in them are resolved where help is shown. */
  readonly default?: string
}

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
export type Group = (typeof GROUPS)[number]

const CONFIG = {
  name: 'config',
  kind: 'path',
  value: 'FILE',
  group: 'Program',
  help: 'take daemons from a JSON file or a module with defineConfig(); names, or none for all of them',
} as const satisfies OptionDefinition

export const OUTPUT_OPTIONS = [
  { name: 'verbose', short: 'v', repeatable: true, group: 'Output', help: 'tell more; twice or thrice: yet more' },
  { name: 'quiet', short: 'q', group: 'Output', help: 'print errors alone' },
  { name: 'json', group: 'Output', help: 'print JSON, one object a line' },
  { name: 'help', short: 'h', group: 'Output', help: 'show this help' },
] as const satisfies readonly OptionDefinition[]

export const TARGET_OPTIONS = [{ ...CONFIG, group: 'Target' }] as const satisfies readonly OptionDefinition[]

/** What `start` and `run` share: every option of ProcessOptions and MonitorOptions. */
export const START_OPTIONS: readonly OptionDefinition[] = [
  {
    name: 'interpreter',
    kind: 'text',
    value: 'PROGRAM',
    api: 'interpreter',
    group: 'Program',
    help: 'what runs SCRIPT',
    default: 'this Node.js',
  },
  CONFIG,
  {
    name: 'env',
    kind: 'assignment',
    value: 'NAME=VALUE',
    repeatable: true,
    api: 'env',
    group: 'Program',
    help: 'add to the environment; NAME alone removes one',
  },
  {
    name: 'env-file',
    kind: 'path',
    value: 'FILE',
    repeatable: true,
    group: 'Program',
    help: 'add what the file assigns; --env wins',
  },
  {
    name: 'chdir',
    kind: 'path',
    value: 'DIR',
    api: 'chdir',
    group: 'Process',
    help: 'working directory',
    default: 'stay here',
  },
  {
    name: 'umask',
    kind: 'octal',
    value: 'MODE',
    api: 'umask',
    group: 'Process',
    help: 'file mode mask',
    default: '022',
  },
  {
    name: 'limit',
    kind: 'limit',
    value: 'NAME=N[:HARD]',
    repeatable: true,
    api: 'limits',
    group: 'Process',
    help: 'resource limit, as nofile=65536; N may be unlimited',
    default: 'core=0',
  },
  { name: 'nice', kind: 'integer', value: 'N', api: 'nice', group: 'Process', help: 'nice value, -20 to 19' },
  {
    name: 'oom-score-adjust',
    kind: 'integer',
    value: 'N',
    api: 'oomScoreAdjust',
    group: 'Process',
    help: 'from -1000, never killed, to 1000',
  },
  {
    name: 'no-new-privileges',
    api: 'noNewPrivileges',
    group: 'Process',
    help: 'nothing is gained by executing set-uid programs',
  },
  {
    name: 'preserve',
    kind: 'descriptor',
    value: 'FD',
    repeatable: true,
    api: 'preserve',
    group: 'Process',
    help: 'keep a descriptor of the shell’s open (3<file)',
  },
  {
    name: 'name',
    kind: 'text',
    value: 'NAME',
    api: 'name',
    group: 'Identity',
    help: 'what it is called, and its files',
    default: 'SCRIPT’s base name without extension',
  },
  {
    name: 'instance',
    kind: 'text',
    value: 'TEXT',
    api: 'instance',
    group: 'Identity',
    help: 'tells daemons of one name apart, e.g. a project’s directory',
  },
  { name: 'user', kind: 'account', value: 'USER', api: 'user', group: 'Identity', help: 'name or id; needs root' },
  {
    name: 'group',
    kind: 'account',
    value: 'GROUP',
    api: 'group',
    group: 'Identity',
    help: 'name or id',
    default: 'the user’s own',
  },
  {
    name: 'groups',
    kind: 'list',
    value: 'A,B',
    api: 'groups',
    group: 'Identity',
    help: 'supplementary groups',
    default: 'the user’s',
  },
  { name: 'chroot', kind: 'path', value: 'DIR', api: 'chroot', group: 'Identity', help: 'root directory; needs root' },
  {
    name: 'pid-file',
    kind: 'text',
    value: 'PATH',
    api: 'pidFile',
    group: 'Files',
    help: 'locked by the daemon; without a slash: in the run directory',
    default: 'RUNDIR/NAME.pid',
  },
  {
    name: 'overwrite-pid-file',
    group: 'Files',
    help: 'start although the pid file is locked; the other process goes on',
  },
  {
    name: 'stdin',
    kind: 'stream',
    value: 'PATH',
    api: 'stdin',
    group: 'Files',
    help: 'a path, a descriptor, ignore or inherit',
    default: 'ignore',
  },
  {
    name: 'log',
    kind: 'stream',
    value: 'PATH',
    api: 'log',
    group: 'Files',
    help: 'both outputs: a path, a descriptor, ignore, inherit or inherit-unless-tty',
    default: 'STATEDIR/NAME.log',
  },
  { name: 'stdout', kind: 'stream', value: 'PATH', api: 'stdout', group: 'Files', help: 'instead of --log' },
  { name: 'stderr', kind: 'stream', value: 'PATH', api: 'stderr', group: 'Files', help: 'instead of --log' },
  {
    name: 'listen',
    kind: 'listen',
    value: '[NAME=]ADDRESS',
    repeatable: true,
    api: 'listen',
    group: 'Sockets',
    help: 'a port, HOST:PORT or a path, bound before the program runs; NAME is http unless given',
  },
  {
    name: 'idle-timeout',
    kind: 'duration',
    value: 'TIME',
    api: 'idleTimeout',
    group: 'Sockets',
    help: 'end it after this long without a connection',
    default: 'never',
  },
  {
    name: 'ready',
    kind: 'ready',
    value: 'WHEN',
    api: 'ready',
    group: 'Readiness',
    help: "auto, manual (a Node.js script: daemonize({ ready: 'manual' }), daemon.ready(); others: READY=1 on NOTIFY_SOCKET), fd=N (a newline there), port (the addresses of --listen answer)",
    default: 'auto',
  },
  {
    name: 'start-timeout',
    kind: 'duration',
    value: 'TIME',
    api: 'startTimeout',
    group: 'Readiness',
    help: 'end it if it is not ready by then',
    default: '30s',
  },
  {
    name: 'stop-timeout',
    kind: 'duration',
    value: 'TIME',
    api: 'stopTimeout',
    group: 'Readiness',
    help: 'from the stop signal to SIGKILL',
    default: '25s',
  },
  {
    name: 'if-running',
    kind: 'choice',
    value: 'WHAT',
    choices: ['error', 'reuse'],
    api: 'ifRunning',
    group: 'Readiness',
    help: 'fail, or be content with the running one',
    default: 'error',
  },
  { name: 'monitor', group: 'Supervision', help: 'restart it when it fails' },
  {
    name: 'restart',
    kind: 'choice',
    value: 'WHEN',
    choices: ['no', 'on-failure', 'on-abnormal', 'always'],
    api: 'monitor.restart',
    group: 'Supervision',
    help: 'no, on-failure, on-abnormal (signal, watchdog), always',
    default: 'no; on-failure with --monitor; always with --workers',
  },
  {
    name: 'workers',
    kind: 'workers',
    value: 'N|cpus',
    api: 'workers',
    group: 'Supervision',
    help: 'copies that share the listening sockets',
  },
  {
    name: 'max-delay',
    kind: 'duration',
    value: 'TIME',
    api: 'monitor.maxDelay',
    group: 'Supervision',
    help: 'the longest wait between restarts',
    default: '10s',
  },
  {
    name: 'steady-after',
    kind: 'duration',
    value: 'TIME',
    api: 'monitor.steadyAfter',
    group: 'Supervision',
    help: 'a run of this length resets delay and count',
    default: '10s',
  },
  {
    name: 'max-failures',
    kind: 'integer',
    value: 'N',
    api: 'monitor.maxFailures',
    group: 'Supervision',
    help: 'give up after so many in a row',
    default: 'never',
  },
  {
    name: 'max-memory',
    kind: 'size',
    value: 'SIZE',
    api: 'monitor.maxMemory',
    group: 'Supervision',
    help: 'end what takes more, as 512M: for good without --monitor, --restart or --workers, which start it again',
    default: 'never',
  },
  {
    name: 'watchdog',
    kind: 'duration',
    value: 'TIME',
    api: 'monitor.watchdog',
    group: 'Supervision',
    help: 'end what hangs for this long: for good without --monitor, --restart or --workers',
    default: 'never',
  },
  {
    name: 'kill-tree',
    api: 'monitor.killTree',
    group: 'Supervision',
    help: 'end a worker’s whole process group with it',
  },
]
