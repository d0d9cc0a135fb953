// A command line, taken apart by a table of options: for the command `daemonic`, and for a program's own by command().
import type { parseArgs } from 'node:util'
import { suggestion } from '../options/values.js'
import { type Detail, detailFor } from '../options/verbosity.js'

/** How an option is written. */
export interface OptionSyntax {
  /** The name without dashes. */
  readonly name: string
  /** Another spelling, by the name that it stands for. */
  readonly standsFor?: string
  /** The letter of the short form. */
  readonly short?: string
  /** Only the short form exists. */
  readonly isShortOnly?: true
  /** What stands for the value in help. Absent: a flag, which takes none. */
  readonly value?: string
  /** The value may be left out. It follows after an equals sign; with 'next' also as the next word, where that has no dash. */
  readonly optionalValue?: 'inline' | 'next'
  readonly repeatable?: true
  readonly help: string
}

/** What a command line may consist of. */
export interface Grammar<O extends OptionSyntax> {
  readonly options: readonly O[]
  /** Reads the value of an option. Errors that it throws are passed on. */
  readonly read: (option: O, text: string) => unknown
  /** Makes the error for an argument that is none of the options. Absent: such an argument is a word, left as it stands. */
  readonly refuse?: (message: string) => Error
  /** Says what an option that isn't known here is called here; undefined if it isn't known either. */
  readonly explain?: (rawName: string) => string | undefined
  /** Whether an argument is a word although it begins with a dash. */
  readonly isWord?: (argument: string) => boolean
  /** Whether everything from the first word on belongs to somebody else. */
  readonly endsAtWord?: (values: OptionValues) => boolean
}

/** A command line in its parts. */
export interface ParsedLine {
  values: OptionValues
  words: readonly string[]
  /** What stands behind `--`; null where there is no `--`. */
  afterDashes: readonly string[] | null
}

/** Values by option, in the order given. A flag has the value true, as has an option whose optional value was left out. */
export class OptionValues {
  readonly #values = new Map<string, unknown[]>()

  add(name: string, value: unknown): void {
    this.#values.set(name, [...(this.#values.get(name) ?? []), value])
  }

  has(name: string): boolean {
    return this.#values.has(name)
  }

  /** The value that was given last. */
  get<T>(name: string): T | undefined {
    return this.#values.get(name)?.at(-1) as T | undefined
  }

  all<T>(name: string): readonly T[] {
    return (this.#values.get(name) ?? []) as T[]
  }

  /** Whether nothing was given. */
  get isEmpty(): boolean {
    return this.#values.size === 0
  }

  /** How much is to be told: the number of -v. */
  get verbosity(): number {
    return this.all('verbose').length
  }

  /** What DAEMONIC_LOG is to be in the daemon's environment; undefined without -v. */
  get logLevel(): Detail | undefined {
    return detailFor(this.verbosity)
  }
}

type Token = NonNullable<ReturnType<typeof parseArgs>['tokens']>[number]
type OptionToken = Extract<Token, { kind: 'option' }>

/** Takes a command line apart. @throws what `refuse` makes and what `read` throws */
export function parseLine<O extends OptionSyntax>(args: readonly string[], grammar: Grammar<O>): ParsedLine {
  const values = new OptionValues()
  const words: string[] = []
  let previous = -1
  const tokens = tokensOf(args, grammar.options)
  /** The word that was the value of the option before it. */
  let value: Token | undefined
  for (const [position, token] of tokens.entries()) {
    if (token === value) continue
    const { kind, index } = token
    const argument = args[index] ?? ''
    const isRepeated = index === previous // -ab is two tokens
    previous = index
    if (kind === 'option-terminator') return { values, words, afterDashes: args.slice(index + 1) }
    if (kind === 'option' && isOption(token, argument, grammar)) {
      value = takeOption(token, values, grammar, tokens[position + 1])
    } else if (kind === 'positional' && grammar.endsAtWord?.(values)) {
      return { values, words: args.slice(index), afterDashes: null }
    } else if (!isRepeated) {
      words.push(argument)
    }
  }
  return { values, words, afterDashes: null }
}

function tokensOf(args: readonly string[], options: readonly OptionSyntax[]): readonly Token[] {
  const syntax = ({ short, value, optionalValue }: OptionSyntax) => ({
    type: value === undefined || optionalValue ? ('boolean' as const) : ('string' as const),
    ...(short !== undefined && { short }),
  })
  // Loaded here, since few programs parse a line.
  const { tokens } = process.getBuiltinModule('node:util').parseArgs({
    args: [...args],
    options: Object.fromEntries(options.map(option => [option.name, syntax(option)])),
    allowPositionals: true,
    strict: false,
    tokens: true,
  })
  return tokens
}

/** Whether the token is an option, or at least is to be refused as one. */
function isOption<O extends OptionSyntax>(token: OptionToken, argument: string, grammar: Grammar<O>): boolean {
  if (grammar.isWord?.(argument)) return false
  if (grammar.refuse) return true
  const option = find(token, grammar)
  // -vv is -v twice; -vx is something else.
  const isWhole = [token.rawName, `${token.rawName}=${token.value}`].includes(argument) || /^-(\w)\1+$/.test(argument)
  return option !== undefined && isWhole && (!token.inlineValue || option.value !== undefined)
}

function find<O extends OptionSyntax>({ name, rawName }: OptionToken, { options }: Grammar<O>): O | undefined {
  return options.find(option => option.name === name && !(option.isShortOnly && rawName.startsWith('--')))
}

/** Adds the option's value; gives `next` where that is the value, and no word. */
function takeOption<O extends OptionSyntax>(
  token: OptionToken,
  values: OptionValues,
  grammar: Grammar<O>,
  next?: Token,
): Token | undefined {
  const { rawName, inlineValue } = token
  const refuse = (message: string) => grammar.refuse?.(message) ?? new Error(message)
  const option = find(token, grammar)
  if (!option) {
    const names = grammar.options.map(({ name }) => `--${name}`)
    const explained = grammar.explain?.(rawName)
    throw refuse(explained ?? `Unknown option ${rawName}${suggestion(rawName, names)}`)
  }
  const name = option.standsFor ?? option.name
  if (option.value === undefined) {
    if (inlineValue) throw refuse(`Expected ${rawName} to stand alone, got the value '${token.value}'`)
    values.add(name, true)
    return undefined
  }
  const isNext = token.value === undefined && option.optionalValue === 'next' && next?.kind === 'positional'
  const value = isNext ? next.value : token.value
  if (value === undefined && !option.optionalValue)
    throw refuse(`Expected ${option.value} after ${rawName}: ${option.help}`)
  if (values.has(name) && !option.repeatable) throw refuse(`Expected ${rawName} once, got it twice`)
  values.add(name, value === undefined ? true : grammar.read(option, value))
  return isNext ? next : undefined
}
