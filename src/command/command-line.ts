// A program's own command line, as command() takes it: a verb, options of the daemon's among the program's, the rest.
import { OptionError } from '../errors/classes.js'
import type { DaemonizeOptions } from '../option-types.js'
import { nameOf } from '../options/name.js'
import { pidFilePath } from '../options/pid-file.js'
import { OPTIONS as DAEMON_OPTIONS } from '../options/table.js'
import { suggestion } from '../options/values.js'
import { type OptionSyntax, type OptionValues, parseLine } from './option-parser.js'

/** The words that a program's command line may begin with. */
export const VERBS = ['start', 'stop', 'restart', 'reload', 'status', 'run', 'help'] as const
/** What a program's command line asks for. */
export type Verb = (typeof VERBS)[number]

/** A program's command line in its parts. */
export interface CommandLine {
  verb: Verb
  /** The options of the daemon that the line gives. */
  options: DaemonizeOptions
  /** The program's own arguments. */
  rest: readonly string[]
}

/** The options of the daemon on a program's command line. What begins with a dash and isn't among them is the program's. */
const OPTIONS: readonly OptionSyntax[] = [
  { name: 'detach', help: 'the same as start' },
  { name: 'no-chdir', help: 'stay in this directory' },
  { name: 'pid-file', value: 'FILE', isValueOptional: true, repeatable: true, help: 'where the pid file lies' },
  { name: 'overwrite-pid-file', help: 'start although the file is locked; the other process goes on' },
  { name: 'monitor', help: 'restart it when it fails' },
  { name: 'verbose', short: 'v', isShortOnly: true, repeatable: true, help: 'log more; twice or thrice: yet more' },
]

/** Parses a program's command line. @throws OptionError a word that is no verb */
export function commandLineOf(argv: readonly string[]): CommandLine {
  const [first = '', ...others] = argv
  const isVerb = (VERBS as readonly string[]).includes(first)
  if (['-h', '--help'].includes(first)) return { verb: 'help', options: {}, rest: others }
  if (first !== '' && !isVerb && !first.startsWith('-')) {
    throw new OptionError(
      'command',
      `Unknown command '${first}'${suggestion(first, VERBS)}; there are ${VERBS.join(', ')}`,
    )
  }
  const args = isVerb ? others : argv
  const { values, words, afterDashes } = parseLine(args, { options: OPTIONS, read: (_, text) => text })
  const detaches = values.has('detach')
  // Options alone mean what they mean to Open vSwitch: in the background with --detach, else in the foreground.
  const verb = isVerb ? (first as Verb) : detaches ? 'start' : values.isEmpty ? 'help' : 'run'
  return {
    verb: verb === 'run' && detaches ? 'start' : verb,
    options: optionsOf(values),
    rest: [...words, ...(afterDashes ? ['--', ...afterDashes] : [])],
  }
}

function optionsOf(values: OptionValues): DaemonizeOptions {
  // Without a file --pid-file says no more than that there is one: a file that was named wins.
  const file = values.all<string | true>('pid-file').findLast(each => each !== true)
  const pidFile = file ?? (values.has('pid-file') ? true : undefined)
  const { logLevel } = values
  return {
    ...(values.has('no-chdir') && { chdir: false }),
    ...(values.has('monitor') && { monitor: true }),
    ...(pidFile !== undefined && { pidFile }),
    ...(values.has('overwrite-pid-file') && { pidFile: { path: file ?? '', overwrite: true } }),
    ...(logLevel !== undefined && { env: { DAEMONIC_LOG: logLevel } }),
  }
}

/** Adds what the line says to what the program gives; `pidFile` and `log` are true where both leave them open. */
export function merged(options: DaemonizeOptions, line: DaemonizeOptions): DaemonizeOptions {
  const { pidFile = true, log = true } = options
  const both = { ...options, log, pidFile, ...line }
  if (options.env || line.env) both.env = { ...options.env, ...line.env }
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

function written({ name, short, isShortOnly, value, isValueOptional }: OptionSyntax): string {
  if (isShortOnly) return `-${short}`
  return isValueOptional ? `--${name}[=${value}]` : `--${name}`
}
