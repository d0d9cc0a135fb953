// Every option of the command, once: parsing, help, manual pages, completions and docs/cli.md are made of this table.
import type { OptionSyntax } from '../command/option-parser.js'
import { FLAGS, MONITOR_FLAGS } from '../options/table.js'

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

/** An option of the command. */
export interface OptionDefinition extends OptionSyntax {
  /** What its value is read as; absent for a flag. */
  readonly kind?: Kind
  readonly choices?: readonly string[]
  /** A flag that stands for the value false. */
  readonly isNegation?: true
  /** The option of launch() that it is, as `nice` or `monitor.restart`; absent where launch() has none. */
  readonly api?: string
  readonly group: Group
  /** The default as help shows it. Words with RUNDIR, STATEDIR and NAME in them are resolved where help is shown. */
  readonly default?: string
}

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
    name: 'node-args',
    kind: 'text',
    value: 'ARGS',
    repeatable: true,
    group: 'Program',
    help: 'several such arguments, separated by spaces: --node-args="--max-old-space-size=512 --enable-source-maps"',
  },
  {
    name: 'import',
    kind: 'text',
    value: 'MODULE',
    repeatable: true,
    group: 'Program',
    help: 'a module that Node.js loads before SCRIPT',
  },
  {
    name: 'overwrite-pid-file',
    group: 'Files',
    help: 'start although the pid file is locked; the other process goes on',
  },
] as const satisfies readonly OptionDefinition[]

/** The options that `start` and `run` share. */
export const START_OPTIONS: readonly OptionDefinition[] = [
  ...withApi(FLAGS, ''),
  ...withApi(MONITOR_FLAGS, 'monitor.'),
  ...COMMAND_FLAGS,
]

/** Names the library's option with each flag. A flag of an unknown kind or group doesn't compile here. */
function withApi(flags: Readonly<Record<string, OptionDefinition | null>>, prefix: string): OptionDefinition[] {
  return Object.entries(flags).flatMap(([key, flag]) => (flag === null ? [] : [{ ...flag, api: `${prefix}${key}` }]))
}
