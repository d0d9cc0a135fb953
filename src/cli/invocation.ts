// A command line that was parsed, as the verbs get it.
import type { CommandDefinition } from './commands.js'
import type { OptionValues } from './library.js'

/** A command line whose form is right. Whether its targets and programs exist is not known yet. */
export interface Invocation {
  command: CommandDefinition
  options: OptionValues
  /** The targets; or a script and its arguments. */
  words: readonly string[]
  /** Whether the words stood behind `--`: a program and its arguments. */
  isProgram: boolean
}
