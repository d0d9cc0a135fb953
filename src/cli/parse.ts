// The command line of `daemonic`: a verb, its options, and targets or a program. Nothing is looked up.

import { COMMANDS, type CommandDefinition } from './commands.js'
import { instead, insteadOfOption } from './foreign-words.js'
import type { Invocation } from './invocation.js'
import { parseLine, suggestion } from './library.js'
import { OUTPUT_OPTIONS } from './option-table.js'
import { read } from './parse-value.js'
import { UsageError } from './usage.js'

const SYNONYMS: Readonly<Record<string, string>> = {
  '-h': 'help',
  '--help': 'help',
  '-V': 'version',
  '--version': 'version',
}

/** Parses the arguments of `daemonic`. @throws UsageError */
export function parse(argv: readonly string[]): Invocation {
  const [first, ...rest] = argv
  if (first === undefined) throw new UsageError('Expected a command')
  const name = SYNONYMS[first] ?? first
  const command = COMMANDS.find(each => each.name === name)
  if (!command) throw unknownCommand(name)
  try {
    return parseWords(command, rest)
  } catch (error) {
    throw error instanceof UsageError ? new UsageError(error.message, command.name) : error
  }
}

/** The error for a word that is no command, with the nearest one that is. */
export function unknownCommand(name: string): UsageError {
  if (name.startsWith('-')) return new UsageError(`Expected a command before the option ${name}`)
  const other = instead(name)
  if (other !== undefined) return new UsageError(other)
  const known = COMMANDS.map(each => each.name)
  return new UsageError(`Unknown command '${name}'${suggestion(name, known)}`)
}

function parseWords(command: CommandDefinition, args: readonly string[]): Invocation {
  const { values, words, afterDashes } = parseLine(args, {
    options: command.options,
    read,
    refuse: message => new UsageError(message),
    explain: insteadOfOption,
    // `-12` is a number, not the options 1 and 2.
    isWord: argument => command.name === 'scale' && /^-\d+$/.test(argument),
    // What follows a script is the script's.
    endsAtWord: options => command.takesProgram === true && !options.has('config'),
  })
  const isProgram = afterDashes !== null && command.takesProgram === true
  const all = isProgram ? afterDashes : [...words, ...(afterDashes ?? [])]
  return checked({ command, options: values, words: all, isProgram })
}

function checked(invocation: Invocation): Invocation {
  const { command, options, words, isProgram } = invocation
  if (options.has('help')) return invocation
  if (options.has('quiet') && options.has('verbose')) throw new UsageError('Expected --quiet or --verbose, got both')
  if (command.takesProgram) {
    if (!options.has('config')) requireProgram(command.name, words, isProgram)
    else if (isProgram) throw new UsageError('Expected --config or a program, got both')
    return invocation
  }
  const [least, most] = command.words ?? [0, 0]
  if (words.length < least || words.length > most) {
    const usage = `daemonic ${command.name} ${command.usage.join(' | ')}`.trimEnd()
    throw new UsageError(`Expected \`${usage}\`, got ${words.length === 0 ? 'nothing' : `'${words.join(' ')}'`}`)
  }
  return invocation
}

function requireProgram(command: string, [first, second, ...rest]: readonly string[], isProgram: boolean): void {
  if (first === undefined || first === '') {
    throw new UsageError(`Expected a SCRIPT${isProgram ? ', or a PROGRAM after `--`' : ', or `-- PROGRAM`'}`)
  }
  if (isProgram || second !== '--') return
  const more = rest.length > 0 ? ` ${rest.join(' ')}` : ''
  throw new UsageError(
    `A script and \`--\` are ambiguous: arguments of ${first} follow it directly (daemonic ${command} ${first}${more}); ` +
      `for another program leave ${first} out (daemonic ${command} --${more || ' PROGRAM'})`,
  )
}

/** Counts the -v of a line that can't be parsed: an error about it may be asked for in full. */
export function roughVerbosity(argv: readonly string[]): number {
  const short = OUTPUT_OPTIONS.find(({ name }) => name === 'verbose')
  const flags = argv.filter(each => /^-v+$/.test(each) || each === `--${short?.name}`)
  return flags.reduce((sum, each) => sum + (each.startsWith('--') ? 1 : each.length - 1), 0)
}
