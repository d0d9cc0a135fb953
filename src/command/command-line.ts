// A program's own command line, as command() takes it: a verb, options of the daemon's among the program's, the rest.
import { OptionError } from '../errors/classes.js'
import { nameOf } from '../options/normalise.js'
import { suggestion } from '../options/values.js'
import { runPath, targetOf } from '../running/paths.js'
import type { DaemonizeOptions } from '../types.js'

export const VERBS = ['start', 'stop', 'restart', 'reload', 'status', 'run', 'help'] as const
export type Verb = (typeof VERBS)[number]

export interface CommandLine {
  verb: Verb
  /** What the line says of the daemon. */
  options: DaemonizeOptions
  /** The program's own arguments. */
  rest: readonly string[]
}

/** @throws OptionError a word that is no verb */
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
  const { given, rest } = daemonOptions(isVerb ? others : argv)
  const detaches = given.includes('--detach')
  // Options alone mean what they mean to Open vSwitch: in the background with --detach, else in the foreground.
  const verb = isVerb ? (first as Verb) : detaches ? 'start' : given.length > 0 ? 'run' : 'help'
  return { verb: verb === 'run' && detaches ? 'start' : verb, options: optionsOf(given), rest }
}

/** Those of the line that are ours; what is behind `--` is the program's. */
function daemonOptions(args: readonly string[]): { given: string[]; rest: string[] } {
  const end = args.indexOf('--')
  const ours = end < 0 ? args : args.slice(0, end)
  const isOurs = (arg: string) => FLAGS.has(arg) || arg.startsWith('--pid-file=')
  return {
    given: ours.filter(isOurs),
    rest: [...ours.filter(arg => !isOurs(arg)), ...(end < 0 ? [] : args.slice(end))],
  }
}

const FLAGS = new Set(['--detach', '--no-chdir', '--pid-file', '--overwrite-pid-file', '--monitor', '-v'])

function optionsOf(given: readonly string[]): DaemonizeOptions {
  const file = given.findLast(arg => arg.startsWith('--pid-file='))?.slice('--pid-file='.length)
  const level = ['info', 'debug', 'trace'][given.filter(arg => arg === '-v').length - 1]
  return {
    ...(given.includes('--no-chdir') && { chdir: false }),
    ...(given.includes('--monitor') && { monitor: true }),
    ...(given.includes('--pid-file') && { pidFile: true }),
    ...(file !== undefined && { pidFile: file }),
    ...(given.includes('--overwrite-pid-file') && { pidFile: { path: file ?? '', overwrite: true } }),
    ...(level !== undefined && { env: { DAEMONIC_LOG: level } }),
  }
}

/** What the program gives, what the line says, and what both leave open. */
export function merged(options: DaemonizeOptions, line: DaemonizeOptions): DaemonizeOptions {
  const { pidFile = true, log = true } = options
  const both = { ...options, log, pidFile, ...line }
  if (options.env || line.env) both.env = { ...options.env, ...line.env }
  if (typeof line.pidFile === 'object' && line.pidFile.path === '') {
    both.pidFile = { path: pidFileOf({ ...options, pidFile }) ?? '', overwrite: true }
  }
  return both
}

/** Null: there is none. What has no slash lies in the run directory. */
export function pidFileOf({
  pidFile,
  name = nameOf(process.argv[1] ?? ''),
  instance,
}: DaemonizeOptions): string | null {
  if (pidFile === undefined || pidFile === false) return null
  const path = typeof pidFile === 'object' ? pidFile.path : pidFile
  if (path === true) return runPath(`${targetOf(name, instance)}.pid`)
  return path.includes('/') ? path : runPath(path)
}

/** The group of a program's help that explains these options, with the defaults as they resolve here. */
export function commandHelp(options: DaemonizeOptions = {}): string {
  const resolved = merged(options, {})
  const pidFile = pidFileOf(resolved) ?? 'none'
  const rows = [
    ['--detach', 'the same as start'],
    [
      '--no-chdir',
      `stay in this directory (default: ${resolved.chdir === undefined ? '/' : resolved.chdir || 'stay'})`,
    ],
    ['--pid-file[=FILE]', `default: ${pidFile}`],
    ['--overwrite-pid-file', 'start although the file is locked; the other process goes on'],
    ['--monitor', `restart it when it fails (default: ${resolved.monitor ? 'yes' : 'no'})`],
    ['-v', 'log more; twice or thrice: yet more'],
  ] as const
  return `Daemon:\n${rows.map(([flag, text]) => `  ${flag.padEnd(22)}${text}\n`).join('')}`
}
