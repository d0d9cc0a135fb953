// The verbs of the command: the words and options that each takes.
import { type OptionDefinition, OUTPUT_OPTIONS, START_OPTIONS, TARGET_OPTIONS } from './option-table.js'

/** A verb of the command. */
export interface CommandDefinition {
  readonly name: string
  /** The lines of usage, each without `daemonic NAME`. */
  readonly usage: readonly string[]
  readonly summary: string
  readonly description: string
  readonly options: readonly OptionDefinition[]
  /** What a verb that acts on running daemons does to one, while that takes long. */
  readonly progress?: string
  /** Whether everything after the first word that isn't an option is the program's. */
  readonly takesProgram?: true
  /** How many words it takes. */
  readonly words?: readonly [least: number, most: number]
  /** What completions offer as its words. */
  readonly completes?: 'targets' | 'files' | 'commands' | 'shells'
}

const timeout = (help: string, otherwise: string): OptionDefinition => ({
  name: 'timeout',
  kind: 'duration',
  value: 'TIME',
  group: 'Target',
  help,
  default: otherwise,
})

const ALL: OptionDefinition = {
  name: 'all',
  group: 'Target',
  help: 'every daemon in the run directory; so does `all` as TARGET',
}

const MANY = [0, Infinity] as const

const USER_MANAGER = {
  name: 'user',
  group: 'Target',
  help: 'of this user’s own service manager, instead of the system’s',
} as const satisfies OptionDefinition

const ENV_FILE = {
  name: 'env-file',
  kind: 'path',
  value: 'FILE',
  repeatable: true,
  group: 'Target',
  help: 'the unit takes variables from this file, each time that it starts',
} as const satisfies OptionDefinition

/** Every verb: parsing, help, manual pages and completions are made of this table. */
export const COMMANDS: readonly CommandDefinition[] = [
  {
    name: 'start',
    usage: ['[options] SCRIPT [args…]', '[options] -- PROGRAM [args…]', '--config FILE [NAME…]'],
    summary: 'start a daemon, and return when it is ready',
    description:
      'Starts a Node.js script, with or without a daemonize() of its own, or any program, in the background, and returns once it is ready. Everything after SCRIPT is the program’s.',
    options: [...START_OPTIONS, ...OUTPUT_OPTIONS],
    takesProgram: true,
    completes: 'files',
  },
  {
    name: 'run',
    usage: ['[options] SCRIPT [args…]', '[options] -- PROGRAM [args…]'],
    summary: 'the same in the foreground: containers, service managers, debugging',
    description:
      'Supervises a program in this process, which stays in the foreground. Standard streams are inherited, and there is no pid file, unless asked for.',
    options: [
      ...START_OPTIONS.filter(({ name }) => name !== 'if-running').map(option => {
        if (option.name === 'log') return { ...option, default: 'inherit' }
        if (option.name === 'pid-file') return { ...option, default: 'none' }
        return option
      }),
      ...OUTPUT_OPTIONS,
    ],
    takesProgram: true,
    completes: 'files',
  },
  {
    name: 'stop',
    usage: ['TARGET…', '--all'],
    progress: 'stopping',
    summary: 'end daemons, and wait until they have',
    description:
      'Sends a signal, waits until the daemon has ended, and kills it if it doesn’t in time. What doesn’t run is no error.',
    options: [
      {
        name: 'signal',
        kind: 'signal',
        value: 'SIGNAL',
        group: 'Target',
        help: 'what asks it to end',
        default: 'TERM',
      },
      timeout('how long it may take before it is killed', 'its own --stop-timeout and 2s'),
      { name: 'no-force', group: 'Target', help: 'don’t kill it at the timeout: fail' },
      ALL,
      ...TARGET_OPTIONS,
      ...OUTPUT_OPTIONS,
    ],
    words: MANY,
    completes: 'targets',
  },
  {
    name: 'restart',
    usage: ['TARGET…', '--all'],
    summary: 'stop daemons, and start them as they were started',
    description:
      'Stops what runs, and starts it with the same arguments and options, in the same directory, with the environment of this call. What has failed or was killed is started too.',
    options: [
      timeout('how long it may take to stop', 'its own --stop-timeout and 2s'),
      ALL,
      ...TARGET_OPTIONS,
      ...OUTPUT_OPTIONS,
    ],
    words: MANY,
    completes: 'targets',
  },
  {
    name: 'reload',
    usage: ['TARGET…', '--all'],
    progress: 'reloading',
    summary: 'reopen logs and roll workers over, nothing dropped',
    description:
      'Reopens the logs, then replaces the workers one by one: a new one must be ready before an old one stops.',
    options: [timeout('how long it may take', 'none'), ALL, ...TARGET_OPTIONS, ...OUTPUT_OPTIONS],
    words: MANY,
    completes: 'targets',
  },
  {
    name: 'reopen',
    usage: ['TARGET…', '--all'],
    progress: 'reopening its logs',
    summary: 'reopen logs that were moved, for logrotate',
    description: 'Opens the logs again whose files were moved or removed.',
    options: [ALL, ...TARGET_OPTIONS, ...OUTPUT_OPTIONS],
    words: MANY,
    completes: 'targets',
  },
  {
    name: 'status',
    usage: ['[TARGET…]'],
    summary: 'show daemons; without a target every one of this user',
    description:
      'A table of name, pid, state, uptime, workers, restarts, memory, cpu, listening addresses and status text.',
    options: [
      { name: 'watch', short: 'w', group: 'Target', help: 'redraw every second, with charts of cpu and memory' },
      { name: 'clean', group: 'Target', help: 'remove what daemons left that failed or were killed' },
      {
        name: 'probe',
        kind: 'choice',
        choices: ['ready', 'live'],
        value: 'WHAT',
        group: 'Target',
        help: 'ready or live: whether one daemon is that, in a line and an exit code of 0 or 1',
      },
      ...TARGET_OPTIONS,
      ...OUTPUT_OPTIONS,
    ],
    words: MANY,
    completes: 'targets',
  },
  {
    name: 'logs',
    usage: ['[TARGET…]'],
    summary: 'show what daemons wrote; without a target all of this user',
    description: 'The last lines of their logs; with several files in the order of the times that lines begin with.',
    options: [
      { name: 'follow', short: 'f', group: 'Target', help: 'go on, also when the file is rotated or truncated' },
      {
        name: 'timestamps',
        short: 't',
        group: 'Target',
        help: 'with --follow: the time of arrival before lines that begin with none',
      },
      {
        name: 'lines',
        short: 'n',
        kind: 'integer',
        value: 'N',
        group: 'Target',
        help: 'how many of the last lines',
        default: '100',
      },
      {
        name: 'since',
        kind: 'since',
        value: 'TIME',
        group: 'Target',
        help: 'lines from then on: 10m, 2h, 1d, or an ISO 8601 time; needs times at the beginning of lines',
      },
      ...TARGET_OPTIONS,
      ...OUTPUT_OPTIONS.filter(({ name }) => name !== 'json'),
    ],
    words: MANY,
    completes: 'targets',
  },
  {
    name: 'signal',
    usage: ['TARGET SIGNAL'],
    progress: 'waiting until it is ready',
    summary: 'send a signal to a daemon',
    description:
      'Sends one signal to the process that holds the pid file; one that doesn’t end a process waits until the daemon is ready. HUP is a reload there. With --to worker the program itself gets it.',
    options: [
      {
        name: 'to',
        kind: 'choice',
        value: 'WHOM',
        choices: ['daemon', 'worker'],
        group: 'Target',
        help: 'the process that holds the pid file, or the program that it supervises',
        default: 'daemon',
      },
      ...OUTPUT_OPTIONS,
    ],
    words: [2, 2],
    completes: 'targets',
  },
  {
    name: 'scale',
    usage: ['TARGET N|+N|-N'],
    progress: 'scaling',
    summary: 'change the number of workers',
    description: 'Sets the number of workers, or adds to it or takes from it.',
    options: [...OUTPUT_OPTIONS],
    words: [2, 2],
    completes: 'targets',
  },
  {
    name: 'enable',
    usage: ['TARGET…', '--config FILE [NAME…]'],
    summary: 'have the service manager of this host run daemons, also after a boot',
    description:
      'Writes units for what runs, or for what a configuration file describes, and enables them: systemd, OpenRC, launchd. What the start inherited from its environment is not in them: its names are listed.',
    options: [
      { name: 'now', group: 'Target', help: 'hand over what runs, and start the rest, at once' },
      USER_MANAGER,
      ENV_FILE,
      ...TARGET_OPTIONS,
      ...OUTPUT_OPTIONS,
    ],
    words: MANY,
    completes: 'targets',
  },
  {
    name: 'disable',
    usage: ['NAME…'],
    summary: 'take back what enable did',
    description: 'Disables units that `daemonic enable` wrote, and removes them.',
    options: [
      { name: 'now', group: 'Target', help: 'stop them, too' },
      USER_MANAGER,
      ...TARGET_OPTIONS,
      ...OUTPUT_OPTIONS,
    ],
    words: MANY,
    completes: 'targets',
  },
  {
    name: 'unit',
    usage: ['systemd|openrc|launchd|kubernetes|logrotate TARGET…', 'KIND --config FILE [NAME…]'],
    summary: 'print what runs a daemon under a service manager, or rotates its logs',
    description:
      'Prints units of systemd, a script of OpenRC, a property list of launchd, a Deployment of Kubernetes, or a stanza of logrotate.',
    options: [
      USER_MANAGER,
      ENV_FILE,
      {
        name: 'image',
        kind: 'text',
        value: 'IMAGE',
        group: 'Target',
        help: 'the container image of a Deployment',
        default: 'NAME:latest',
      },
      ...TARGET_OPTIONS,
      ...OUTPUT_OPTIONS.filter(({ name }) => name !== 'json'),
    ],
    words: [1, Infinity],
    completes: 'targets',
  },
  {
    name: 'completion',
    usage: ['bash|zsh|fish'],
    summary: 'print a completion script for a shell',
    description: 'For bash: `source <(daemonic completion bash)`.',
    options: OUTPUT_OPTIONS.filter(({ name }) => name === 'help'),
    words: [1, 1],
    completes: 'shells',
  },
  {
    name: 'help',
    usage: ['[COMMAND]'],
    summary: 'show help',
    description: 'Shows the commands, or the options of one.',
    options: OUTPUT_OPTIONS.filter(({ name }) => name === 'help'),
    words: [0, 2],
    completes: 'commands',
  },
  {
    name: 'version',
    usage: [''],
    summary: 'print the version',
    description: 'Prints the version.',
    options: OUTPUT_OPTIONS.filter(({ name }) => name === 'help'),
    words: [0, 0],
  },
]

/** The shells that have a completion script. */
export const SHELLS = ['bash', 'zsh', 'fish'] as const

/** What the exit codes mean, for the manual page. */
export const EXIT_CODES: readonly (readonly [code: string, meaning: string])[] = [
  ['0', 'done; stop of what doesn’t run; start --if-running reuse'],
  [
    'the program’s own',
    'start failed because the program ended: 1 if that was 0, 128 + N for signal N, 126 not executable, 127 not found',
  ],
  ['124', 'not ready in time'],
  ['1', 'already running; stop left it running; anything else'],
  ['2', 'usage: the message names the option and what it expects'],
  ['7', 'signal, reload, reopen, scale of what doesn’t run'],
  [
    'status',
    '0 running, 1 failing, failed or dead, 3 stopped, 4 unknown; 0 without a TARGET; with --probe 0 for yes, 1 for no',
  ],
]
