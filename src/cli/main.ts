#!/usr/bin/env node
import { actOnTargets } from './actions.js'
import { disable, enable } from './enable.js'
import type { Invocation } from './invocation.js'
// The command: parses its line, carries out the verb, and exits with the code that EXIT_CODES (commands.ts) documents.
import { DaemonError, OptionError } from './library.js'
import { parse, roughVerbosity } from './parse.js'
import { Output, writeLine } from './print.js'
import { restart } from './restart.js'
import { logs } from './show-logs.js'
import { status } from './show-status.js'
import { showUnit } from './show-unit.js'
import { run, start } from './start.js'
import { showCompletion, showHelp, showVersion } from './texts.js'
import { UsageError, withFlagNames } from './usage.js'

/** Carries out a verb, and returns the exit code. */
type Verb = (invocation: Invocation, output: Output) => Promise<number>

const VERBS: Readonly<Record<string, Verb>> = {
  start,
  run,
  stop: actOnTargets,
  reload: actOnTargets,
  reopen: actOnTargets,
  signal: actOnTargets,
  scale: actOnTargets,
  restart,
  status,
  logs,
  enable,
  disable,
  unit: showUnit,
  completion: showCompletion,
  help: showHelp,
  version: showVersion,
}

main(process.argv.slice(2)).then(
  code => {
    process.exitCode = code
  },
  error => {
    process.exitCode = failed(error, roughVerbosity(process.argv))
  },
)

/** Parses and carries out the line. Without a command it prints the help, and returns 2. */
async function main(argv: readonly string[]): Promise<number> {
  try {
    const invocation = parse(argv)
    const { command, options } = invocation
    const output = new Output({
      quiet: options.has('quiet'),
      json: options.has('json'),
      verbosity: options.verbosity,
    })
    const verb = options.has('help') ? showHelp : VERBS[command.name]
    if (!verb) throw new Error(`${command.name} is in no table of verbs`)
    return await verb(invocation, output)
  } catch (error) {
    if (error instanceof UsageError && argv.length === 0) {
      await showHelp(null)
      return 2
    }
    throw error
  }
}

/** Prints an error that ended the command, and returns its exit code. */
function failed(error: unknown, verbosity: number): number {
  const isExpected = error instanceof DaemonError
  const stack = error instanceof Error && verbosity >= 2 ? `\n${error.stack}` : ''
  if (!isExpected) {
    const message = error instanceof Error ? error.message : String(error)
    writeLine(2, `daemonic: ${message}${stack || ' (daemonic -vv … tells where)'}`)
    return 1
  }
  if (error instanceof UsageError) {
    const help = error.command ? `daemonic ${error.command} --help` : 'daemonic --help'
    writeLine(2, `daemonic: ${error.message}\nSee \`${help}\`.${stack}`)
  } else {
    writeLine(2, `${error instanceof OptionError ? withFlagNames(error) : error.message}${stack}`)
  }
  return error.exitCode
}
