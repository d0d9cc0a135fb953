// start and run: a script or a program becomes a daemon.
import { resolve } from 'node:path'
import { daemonsFrom } from './config-file.js'
import { defaultName } from './default-name.js'
import { reportFailure } from './failures.js'
import { misplacedOptions } from './foreign-words.js'
import type { Invocation } from './invocation.js'
import { Interruption, type Job, jobOf, type StartVerb, startOne, targetOfJob, withDefaults } from './job.js'
import {
  AlreadyRunningError,
  checkLaunch,
  nameOf,
  type OptionValues,
  readState,
  run as runHere,
  type StartOptions,
} from './library.js'
import type { Output } from './print.js'
import { launchOptions, monitorOf, overwriting } from './start-options.js'
import { withTypeScript } from './typescript.js'
import { UsageError } from './usage.js'

/** Carries out `start`: starts every daemon that the invocation means, and returns the highest exit code. */
export async function start(invocation: Invocation, output: Output): Promise<number> {
  const jobs = await jobsOf(invocation, output)
  const failedCheck = jobs.length > 1 ? checkAll(jobs, invocation, output) : 0
  if (failedCheck > 0) return failedCheck
  let exitCode = 0
  for (const job of jobs) {
    try {
      await startOne(job, output)
    } catch (error) {
      exitCode = Math.max(exitCode, reportStart(job, error, invocation, output))
      if (error instanceof Interruption) break
    }
  }
  return exitCode
}

/**
 * Carries out `run`: this process becomes the program's supervisor, so that the call returns only where that failed,
 * with the exit code for it.
 */
export async function run(invocation: Invocation, output: Output): Promise<number> {
  const [job, another] = await jobsOf(invocation, output)
  if (!job || another) throw new UsageError('Expected one daemon of the configuration: name it', 'run')
  try {
    return runHere(job.program, job.options)
  } catch (error) {
    return reportStart(job, error, invocation, output)
  }
}

/** Checks all jobs before the first starts: none is started if one is wrong. Returns the highest exit code. */
function checkAll(jobs: readonly Job[], invocation: Invocation, output: Output): number {
  const codes = jobs.map(job => {
    try {
      checkLaunch(job.program, job.options)
      return 0
    } catch (error) {
      return reportStart(job, error, invocation, output)
    }
  })
  return Math.max(...codes)
}

function reportStart(job: Job, error: unknown, { options }: Invocation, output: Output): number {
  return reportFailure(withoutPath(job, error), targetOfJob(job), output, options)
}

/**
 * Drops the pid file from `already running as pid N (FILE)`: here the line begins with the daemon's name. Where that is another
 * program of this name, the line says which.
 */
function withoutPath({ program }: Job, error: unknown): unknown {
  if (!(error instanceof AlreadyRunningError)) return error
  const running = readState(error.path, error.pid)
  const other = running?.launch ? running.launch.program : running?.arguments.find(each => each.startsWith('/'))
  const advice =
    running && other !== undefined && other !== program
      ? `: ${other}, started in ${running.directory}; call this one otherwise by --name, or add --instance "$PWD"`
      : ''
  error.message = error.message.replace(` (${error.path})`, advice)
  return error
}

async function jobsOf({ command, options, words, isProgram }: Invocation, output: Output): Promise<Job[]> {
  const verb = command.name as StartVerb
  const given = { ...launchOptions(options, isProgram), ...verbosity(options) }
  const config = options.get<string>('config')
  if (config !== undefined) {
    const daemons = await daemonsFrom(config, words)
    return daemons.map(each => {
      const lineOptions: StartOptions = { ...given, monitor: monitorOf(options, each.config) }
      const { name = each.name, ...rest } = { ...each.config, ...given }
      if (options.has('overwrite-pid-file')) Object.assign(lineOptions, overwriting(rest, name))
      return jobOf(each, lineOptions, verb)
    })
  }
  const [program = '', ...args] = words
  const name = given.name ?? (isProgram ? nameOf(program) : defaultName(program))
  const launching: StartOptions = { ...given, name, args, monitor: monitorOf(options) }
  if (options.has('overwrite-pid-file')) Object.assign(launching, overwriting(given, name))
  if (isProgram) return [{ name, program, options: withDefaults({ ...launching, interpreter: null }, verb) }]
  const misplaced = misplacedOptions(program, args)
  if (misplaced !== null) output.note(`${name}: ${misplaced}`)
  return [{ name, program: resolve(program), options: withDefaults(withTypeScript(program, launching), verb) }]
}

/** Turns -v, -vv, -vvv into the daemon's DAEMONIC_LOG; --env wins. */
function verbosity(options: OptionValues): StartOptions {
  const level = options.logLevel
  return level === undefined ? {} : { env: { DAEMONIC_LOG: level, ...launchOptions(options).env } }
}
