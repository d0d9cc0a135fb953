// The command line, taken apart by the table of options; nothing is looked up.
import { parseArgs } from 'node:util'
import { suggestion } from '../options/values.js'
import { COMMANDS, type CommandDefinition } from './commands.js'
import { type OptionDefinition, OUTPUT_OPTIONS } from './option-table.js'
import { read } from './parse-value.js'
import { UsageError } from './usage.js'

export interface Invocation {
  command: CommandDefinition
  options: Options
  /** Targets; or a script and its arguments. */
  words: readonly string[]
  /** Words stood behind `--`: a program and its arguments. */
  isProgram: boolean
}

/** Values by option, in the order given. */
export class Options {
  readonly #values = new Map<string, unknown[]>()

  add(name: string, value: unknown): void {
    this.#values.set(name, [...(this.#values.get(name) ?? []), value])
  }

  has(name: string): boolean {
    return this.#values.has(name)
  }

  /** The last one counts. */
  get<T>(name: string): T | undefined {
    return this.#values.get(name)?.at(-1) as T | undefined
  }

  all<T>(name: string): readonly T[] {
    return (this.#values.get(name) ?? []) as T[]
  }

  get verbosity(): number {
    return this.all('verbose').length
  }
}

const SYNONYMS: Readonly<Record<string, string>> = {
  '-h': 'help',
  '--help': 'help',
  '-V': 'version',
  '--version': 'version',
}

/** @throws UsageError */
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

export function unknownCommand(name: string): UsageError {
  if (name.startsWith('-')) return new UsageError(`Expected a command before the option ${name}`)
  const known = COMMANDS.map(each => each.name)
  return new UsageError(`Unknown command '${name}'${suggestion(name, known)}`)
}

function parseWords(command: CommandDefinition, args: readonly string[]): Invocation {
  const { tokens } = parseArgs({
    args: [...args],
    options: Object.fromEntries(command.options.map(option => [option.name, tokenOptions(option)])),
    allowPositionals: true,
    strict: false,
    tokens: true,
  })
  const options = new Options()
  const words: string[] = []
  let previous = -1
  for (const token of tokens) {
    // `-12` is a number, not the options 1 and 2.
    const text = args[token.index] ?? ''
    if (token.kind === 'option' && command.name === 'scale' && /^-\d+$/.test(text)) {
      if (token.index !== previous) words.push(text)
    } else if (token.kind === 'option') {
      addOption(command, options, token)
    } else if (token.kind === 'option-terminator') {
      if (!command.takesProgram) continue
      return checked({ command, options, words: args.slice(token.index + 1), isProgram: true })
    } else if (command.takesProgram && !options.has('config')) {
      return checked({ command, options, words: args.slice(token.index), isProgram: false })
    } else {
      words.push(token.value)
    }
    previous = token.index
  }
  return checked({ command, options, words, isProgram: false })
}

function addOption(
  { options: known }: CommandDefinition,
  options: Options,
  token: { name: string; rawName: string; value?: string | undefined; inlineValue?: boolean | undefined },
): void {
  const option = known.find(({ name }) => name === token.name)
  const shown = token.rawName
  if (!option) {
    const names = known.map(({ name }) => `--${name}`)
    throw new UsageError(`Unknown option ${shown}${suggestion(shown, names)}`)
  }
  if (option.kind === undefined) {
    if (token.inlineValue) throw new UsageError(`Expected ${shown} to stand alone, got the value '${token.value}'`)
    options.add(option.name, true)
    return
  }
  if (token.value === undefined) throw new UsageError(`Expected ${option.value} after ${shown}: ${option.help}`)
  if (options.has(option.name) && !option.repeatable) {
    throw new UsageError(`Expected ${shown} once, got it twice`)
  }
  options.add(option.name, read(option, token.value))
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

function tokenOptions({ kind, short }: OptionDefinition) {
  return { type: kind === undefined ? ('boolean' as const) : ('string' as const), ...(short && { short }) }
}

/** How much is asked for, of a line that can't be parsed. */
export function roughVerbosity(argv: readonly string[]): number {
  const short = OUTPUT_OPTIONS.find(({ name }) => name === 'verbose')
  const flags = argv.filter(each => /^-v+$/.test(each) || each === `--${short?.name}`)
  return flags.reduce((sum, each) => sum + (each.startsWith('--') ? 1 : each.length - 1), 0)
}
