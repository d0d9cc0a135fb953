// start and run: a script or a program becomes a daemon.
import { constants } from 'node:os'
import { resolve } from 'node:path'
import { startedPhrase } from '../command/phrases.js'
import { AlreadyRunningError, DaemonError } from '../errors/classes.js'
import { nameOf } from '../options/normalise.js'
import { targetOf as fileNameOf, runPath } from '../running/paths.js'
import { failure } from './actions.js'
import { daemonsFrom, type NamedConfig } from './config-file.js'
import { checkLaunch, type Launched, launch, run as runHere, type StartOptions, stop } from './library.js'
import type { Invocation, Options } from './parse.js'
import type { Output } from './print.js'
import { whileWaiting } from './progress.js'
import { launchOptions, monitorOf, overwriting } from './start-options.js'
import { UsageError } from './usage.js'

/** What is to be started. */
export interface Job {
  name: string
  program: string
  options: StartOptions
}

export async function start(invocation: Invocation, output: Output): Promise<number> {
  const jobs = await jobsOf(invocation)
  const wrong = jobs.length > 1 ? checkAll(jobs, invocation, output) : 0
  if (wrong > 0) return wrong
  let exitCode = 0
  for (const job of jobs) {
    try {
      await startOne(job, output)
    } catch (error) {
      exitCode = Math.max(exitCode, failureOf(job, error, invocation, output))
      if (error instanceof Interruption) break
    }
  }
  return exitCode
}

/** None is started if something is wrong with one. */
function checkAll(jobs: readonly Job[], invocation: Invocation, output: Output): number {
  const codes = jobs.map(job => {
    try {
      checkLaunch(job.program, job.options)
      return 0
    } catch (error) {
      return failureOf(job, error, invocation, output)
    }
  })
  return Math.max(...codes)
}

/** Comes back only with an exit code for what went wrong. */
export async function run(invocation: Invocation, output: Output): Promise<number> {
  const [job, another] = await jobsOf(invocation)
  if (!job || another) throw new UsageError('Expected one daemon of the configuration: name it', 'run')
  try {
    return runHere(job.program, job.options)
  } catch (error) {
    return failureOf(job, error, invocation, output)
  }
}

function failureOf(job: Job, error: unknown, { options }: Invocation, output: Output): number {
  return failure(inWords(error), { name: job.name, path: pathOf(job) }, output, options)
}

function pathOf({ name, options: { pidFile, instance } }: Job): string {
  if (typeof pidFile === 'object') return pidFile.path
  const file = typeof pidFile === 'string' ? pidFile : `${fileNameOf(name, instance)}.pid`
  return file.includes('/') ? file : runPath(file)
}

export async function startOne(job: Job, output: Output): Promise<void> {
  const begin = performance.now()
  const launched = await whileWaiting(`${job.name}: starting`, interruptible(job))
  const time = performance.now() - begin
  const name = targetName(job)
  output.result(`${name}: ${startedPhrase(launched, time)}`, { name, ...launched, elapsed: time })
}

/** What the other verbs know it by, if it is in the run directory. */
function targetName({ name, options: { pidFile, instance } }: Job): string {
  return pidFile === true ? fileNameOf(name, instance) : name
}

/** Nothing further is to be started. */
export class Interruption extends DaemonError {
  constructor({ name }: Job) {
    super(`${name}: the start was interrupted`, 'ERR_DAEMON_START', 128 + constants.signals.SIGINT)
  }
}

/** Who interrupts the command wants no daemon. launch() itself would go on without its caller. */
async function interruptible(job: Job): Promise<Launched> {
  let isInterrupted = false
  const interrupt = () => {
    isInterrupted = true
    // What failed shows in the start that goes on.
    stop(pathOf(job)).catch(() => {})
  }
  process.once('SIGINT', interrupt)
  try {
    return await launch(job.program, job.options)
  } catch (error) {
    throw isInterrupted ? new Interruption(job) : error
  } finally {
    process.off('SIGINT', interrupt)
  }
}

export function jobOf({ name, config }: NamedConfig, more: StartOptions = {}, verb = 'start'): Job {
  const { script, program, ...options } = config
  const interpreter = script === undefined ? { interpreter: null } : {}
  const env = more.env && { ...options.env, ...more.env }
  return {
    name: more.name ?? options.name ?? name,
    program: script === undefined ? (program ?? '') : resolve(script),
    options: withDefaults({ name, ...interpreter, ...options, ...more, ...(env && { env }) }, verb),
  }
}

async function jobsOf({ command, options, words, isProgram }: Invocation): Promise<Job[]> {
  const given = { ...launchOptions(options), ...verbosity(options) }
  const config = options.get<string>('config')
  if (config !== undefined) {
    const daemons = await daemonsFrom(config, words)
    return daemons.map(each => {
      const more: StartOptions = { ...given, monitor: monitorOf(options, each.config) }
      const { name = each.name, ...rest } = { ...each.config, ...given }
      if (options.has('overwrite-pid-file')) Object.assign(more, overwriting(rest, name))
      return jobOf(each, more, command.name)
    })
  }
  const [program = '', ...args] = words
  const name = given.name ?? nameOf(program)
  const launching: StartOptions = { ...given, name, args, monitor: monitorOf(options) }
  if (isProgram) launching.interpreter = null
  if (options.has('overwrite-pid-file')) Object.assign(launching, overwriting(given, name))
  return [{ name, program: isProgram ? program : resolve(program), options: withDefaults(launching, command.name) }]
}

/** `start` leaves a log and a pid file; what it starts is always supervised. `run` is for those who have both. */
function withDefaults(options: StartOptions, verb: string): StartOptions {
  return {
    ...options,
    ...(verb === 'run'
      ? { log: options.log ?? 'inherit', stdin: options.stdin ?? 'inherit', pidFile: options.pidFile ?? false }
      : { log: options.log ?? true, pidFile: options.pidFile ?? true }),
  }
}

function verbosity(options: Options): StartOptions {
  const level = ['info', 'debug', 'trace'][Math.min(options.verbosity, 3) - 1]
  return level === undefined ? {} : { env: { DAEMONIC_LOG: level, ...launchOptions(options).env } }
}

function inWords(error: unknown): unknown {
  if (!(error instanceof AlreadyRunningError)) return error
  error.message = error.message.replace(` (${error.path})`, '')
  return error
}
