#!/usr/bin/env node
// The command: takes its line apart, does what the verb says, and ends with the exit code that the table promises.
import { DaemonError, OptionError } from '../errors/classes.js'
import { control } from './actions.js'
import { type Invocation, parse, roughVerbosity } from './parse.js'
import { Output, write } from './print.js'
import { restart } from './restart.js'
import { logs } from './show-logs.js'
import { status } from './show-status.js'
import { run, start } from './start.js'
import { showCompletion, showHelp, showVersion } from './texts.js'
import { inOurWords, UsageError } from './usage.js'

/** Gives the exit code. */
type Verb = (invocation: Invocation, output: Output) => Promise<number>

const VERBS: Readonly<Record<string, Verb>> = {
  start,
  run,
  stop: control,
  reload: control,
  reopen: control,
  signal: control,
  scale: control,
  restart,
  status,
  logs,
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

function failed(error: unknown, verbosity: number): number {
  const isOurs = error instanceof DaemonError
  const stack = error instanceof Error && verbosity >= 2 ? `\n${error.stack}` : ''
  if (!isOurs) {
    const message = error instanceof Error ? error.message : String(error)
    write(2, `daemonic: ${message}${stack || ' (daemonic -vv … tells where)'}\n`)
    return 1
  }
  if (error instanceof UsageError) {
    const help = error.command ? `daemonic ${error.command} --help` : 'daemonic --help'
    write(2, `daemonic: ${error.message}\nSee \`${help}\`.${stack}\n`)
  } else {
    write(2, `${error instanceof OptionError ? inOurWords(error) : error.message}${stack}\n`)
  }
  return error.exitCode
}
