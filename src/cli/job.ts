// Starting one daemon, as `start` and `restart` do.
import { constants } from 'node:os'
import { resolve } from 'node:path'
import type { NamedConfig } from './config-file.js'
import {
  DaemonError,
  type Launched,
  launch,
  pidFilePath,
  type StartOptions,
  startedPhrase,
  stop,
  targetOf,
} from './library.js'
import type { Output } from './print.js'
import { whileWaiting } from './progress.js'
import type { Target } from './targets.js'
import { withTypeScript } from './typescript.js'
import { refuseUnit } from './unit.js'

/** A daemon that is to be started: its name, the program, and the options of launch(). */
export interface Job {
  name: string
  program: string
  options: StartOptions
}

/** The verbs that start something; their defaults differ. */
export type StartVerb = 'start' | 'run'

/** Ctrl-C ended a start: the jobs after it are left out. */
export class Interruption extends DaemonError {
  constructor({ name }: Job) {
    super(`${name}: the start was interrupted`, 'ERR_DAEMON_START', 128 + constants.signals.SIGINT)
  }
}

/** Makes a job of a daemon in a configuration file; `lineOptions`, given on the command line, win over the file's. */
export function jobOf({ name, config }: NamedConfig, lineOptions: StartOptions = {}, verb: StartVerb = 'start'): Job {
  const { script, program, ...options } = config
  const interpreter = script === undefined ? { interpreter: null } : {}
  const env = lineOptions.env && { ...options.env, ...lineOptions.env }
  const all = withDefaults({ name, ...interpreter, ...options, ...lineOptions, ...(env && { env }) }, verb)
  return {
    name: lineOptions.name ?? options.name ?? name,
    program: script === undefined ? (program ?? '') : resolve(script),
    options: script === undefined ? all : withTypeScript(script, all),
  }
}

/** Fills in the verb's defaults: `start` leaves a log and a pid file, `run` is for callers that keep both themselves. */
export function withDefaults(options: StartOptions, verb: StartVerb): StartOptions {
  if (verb === 'start') return options
  const { log = 'inherit', stdin = 'inherit', pidFile = false } = options
  return { ...options, log, stdin, pidFile }
}

/** Starts the job's daemon, and prints that it is ready. @throws what launch() does; Interruption at Ctrl-C */
export async function startOne(job: Job, output: Output): Promise<void> {
  refuseUnit(targetOfJob(job))
  const begin = performance.now()
  const launched = await whileWaiting(`${job.name}: starting`, interruptibleLaunch(job))
  const time = performance.now() - begin
  printStarted(shownName(job), launched, time, output)
}

/** Prints that the daemon of this name is ready, after `time` milliseconds. */
export function printStarted(
  name: string,
  { pid, started, pidFile, addresses }: Omit<Launched, 'target'>,
  time: number,
  output: Output,
): void {
  const line = startedPhrase({ pid, started, addresses }, time)
  output.result(`${name}: ${line}`, { name, pid, started, pidFile, addresses, elapsed: time })
}

/** Returns the daemon of the job as a target of the other verbs. */
export function targetOfJob(job: Job): Target {
  const {
    name,
    options: { pidFile, instance },
  } = job
  return { name, path: pidFilePath(pidFile || true, name, instance) ?? '' }
}

/** Returns the name to print: where the pid file is the default one, the TARGET that the other verbs take. */
function shownName({ name, options: { pidFile = true, instance } }: Job): string {
  return pidFile === true ? targetOf(name, instance) : name
}

/** Launches the daemon, and stops it at Ctrl-C: launch() by itself lets a start go on without its caller. */
async function interruptibleLaunch(job: Job): Promise<Launched> {
  let isInterrupted = false
  const interrupt = () => {
    isInterrupted = true
    // If the stop fails, the launch goes on, and its result is printed.
    stop(targetOfJob(job).path).catch(() => {})
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
