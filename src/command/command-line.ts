// A program's own command line, as command() takes it: a verb, options of the daemon's among the program's, the rest.
import type { DaemonizeOptions } from '../option-types.js'
import { nameOf } from '../options/name.js'
import { pidFilePath } from '../options/pid-file.js'
import { OPTIONS as DAEMON_OPTIONS } from '../options/table.js'
import { suggestion } from '../options/values.js'
import type { Detail } from '../options/verbosity.js'
import { type OptionSyntax, type OptionValues, parseLine } from './option-parser.js'

/** The words that a program's command line may begin with. */
export const VERBS = ['start', 'stop', 'restart', 'reload', 'status', 'run', 'help'] as const
/** What a program's command line asks for. */
export type Verb = (typeof VERBS)[number]

/** A program's command line in its parts. */
export interface CommandLine {
  verb: Verb
  /** Whether the line names the verb. */
  isNamed: boolean
  /** The options of the daemon that the line gives. */
  options: DaemonizeOptions
  /** The program's own arguments. */
  rest: readonly string[]
  /** How much is to be told; undefined without -v. */
  detail: Detail | undefined
}

/** The options of the daemon on a program's command line. What begins with a dash and isn't among them is the program's. */
const OPTIONS: readonly OptionSyntax[] = [
  { name: 'detach', repeatable: true, help: 'the same as start' },
  { name: 'no-chdir', repeatable: true, help: 'stay in this directory' },
  { name: 'pid-file', value: 'FILE', optionalValue: 'next', repeatable: true, help: 'where the pid file lies' },
  { name: 'overwrite-pid-file', help: 'start although the file is locked; the other process goes on' },
  { name: 'monitor', help: 'restart it when it fails' },
  { name: 'verbose', short: 'v', isShortOnly: true, repeatable: true, help: 'log more; twice or thrice: yet more' },
  { name: 'help', help: 'show this help' },
]

/** Open vSwitch's spellings. Its --pidfile takes a file after an equals sign alone: the next word is a database. */
const OTHER_SPELLINGS: readonly OptionSyntax[] = [
  {
    name: 'pidfile',
    standsFor: 'pid-file',
    value: 'FILE',
    optionalValue: 'inline',
    repeatable: true,
    help: 'the same as --pid-file',
  },
  { name: 'overwrite-pidfile', standsFor: 'overwrite-pid-file', help: 'the same as --overwrite-pid-file' },
]

/**
 * Parses a program's command line. The options are taken wherever they stand before `--`; what is none of them is the
 * program's, in the order given. Without a verb the line runs the program: in the background with --detach.
 */
export function commandLineOf(argv: readonly string[]): CommandLine {
  const [first = '', ...others] = argv
  const isNamed = isVerb(first)
  const options = [...OPTIONS, ...OTHER_SPELLINGS]
  const { values, words, afterDashes } = parseLine(isNamed ? others : argv, { options, read: (_, text) => text })
  const given = isNamed ? first : 'run'
  return {
    verb: values.has('help') || first === '-h' ? 'help' : given === 'run' && values.has('detach') ? 'start' : given,
    isNamed,
    options: optionsOf(values),
    rest: [...words, ...(afterDashes ? ['--', ...afterDashes] : [])],
    detail: values.logLevel,
  }
}

function isVerb(word: string): word is Verb {
  return (VERBS as readonly string[]).includes(word)
}

/** Says what is wrong with a line where the program takes no arguments; null where nothing is. */
export function unexpected({ rest: [argument], isNamed }: CommandLine): string | null {
  if (argument === undefined) return null
  if (!isNamed && !argument.startsWith('-')) return `Unknown command '${argument}'${suggestion(argument, VERBS)}`
  const names = OPTIONS.filter(({ isShortOnly }) => !isShortOnly).map(({ name }) => `--${name}`)
  const nearest = argument.startsWith('-') ? suggestion(argument, names) : ''
  return `Unexpected argument '${argument}': the program takes none${nearest}`
}

/** Notes that the program is handed a word that may have been meant as a verb; null where there is none such. */
export function mistaken({ rest: [word = ''], isNamed }: CommandLine): string | null {
  const nearest = isNamed ? '' : suggestion(word, VERBS)
  return nearest === '' ? null : `'${word}' is no command, and was handed on to the program${nearest}`
}

function optionsOf(values: OptionValues): DaemonizeOptions {
  // Without a file --pid-file says no more than that there is one: a file that was named wins.
  const file = values.all<string | true>('pid-file').findLast(each => each !== true)
  const pidFile = file ?? (values.has('pid-file') ? true : undefined)
  return {
    ...(values.has('no-chdir') && { chdir: false }),
    ...(values.has('monitor') && { monitor: true }),
    ...(pidFile !== undefined && { pidFile }),
    ...(values.has('overwrite-pid-file') && { pidFile: { path: file ?? '', overwrite: true } }),
  }
}

/** Adds what the line says to what the program gives; `pidFile` and `log` are true where both leave them open. */
export function merged(options: DaemonizeOptions, line: DaemonizeOptions): DaemonizeOptions {
  const { pidFile = true, log = true } = options
  const both = { ...options, log, pidFile, ...line }
  if (typeof line.pidFile === 'object' && line.pidFile.path === '') {
    both.pidFile = { path: pidFileOf({ ...options, pidFile }) ?? '', overwrite: true }
  }
  return both
}

/** The path of the pid file of the daemon that these options make of this program; null where it has none. */
export function pidFileOf({ pidFile, name, instance }: DaemonizeOptions): string | null {
  return pidFilePath(pidFile, name ?? nameOf(process.argv[1] ?? ''), instance)
}

/** A paragraph for a program's help that explains these options, with the defaults as they resolve here. */
export function commandHelp(options: DaemonizeOptions = {}): string {
  const resolved = merged(options, {})
  const defaults: Readonly<Record<string, string>> = {
    'no-chdir': resolved.chdir === undefined ? DAEMON_OPTIONS.chdir.default : resolved.chdir || 'stay',
    'pid-file': pidFileOf(resolved) ?? 'none',
    monitor: resolved.monitor ? 'yes' : 'no',
  }
  const rows = OPTIONS.map(option => {
    const { name, help } = option
    const otherwise = defaults[name]
    return `  ${written(option).padEnd(22)}${help}${otherwise === undefined ? '' : ` (default: ${otherwise})`}\n`
  })
  return `Daemon:\n${rows.join('')}`
}

function written({ name, short, isShortOnly, value }: OptionSyntax): string {
  if (isShortOnly) return `-${short}`
  return value === undefined ? `--${name}` : `--${name}[=${value}]`
}
