// stop, reload, reopen, signal, scale: acting on daemons that run, one after the other.

import { elapsed } from '../command/phrases.js'
import { DaemonError, OptionError } from '../errors/classes.js'
import { namesFrom } from './config-file.js'
import { reload, reopenLogs, scale, signal, stop } from './library.js'
import type { Invocation, Options } from './parse.js'
import { scaleOf, signalNamed } from './parse-value.js'
import type { Output } from './print.js'
import { absence, everyTarget, parseTarget, type Target } from './targets.js'
import { inOurWords, UsageError } from './usage.js'

/** What a verb did to one daemon. */
interface Done {
  line: string
  object?: object
}

type Action = (target: Target) => Promise<Done>

export async function control(invocation: Invocation, output: Output): Promise<number> {
  const { options, words } = invocation
  const action = actionOf(invocation)
  const targets =
    words.length === 2 && isWithArgument(invocation) ? [parseTarget(words[0] ?? '')] : await targetsOf(invocation)
  let exitCode = 0
  for (const target of targets) {
    try {
      const { line, object } = await action(target)
      output.result(`${target.name}: ${line}`, { name: target.name, pidFile: target.path, ...object })
    } catch (error) {
      exitCode = Math.max(exitCode, failure(error, target, output, options))
    }
  }
  return exitCode
}

/** Prints what went wrong with one of several targets; gives its exit code. */
export function failure(error: unknown, target: Target, output: Output, options: Options): number {
  if (!(error instanceof DaemonError)) throw error
  const stack = options.verbosity >= 2 ? `\n${error.stack}` : ''
  if (error instanceof OptionError && !options.has('config')) {
    output.error(`daemonic: ${inOurWords(error)}${stack}`)
  } else {
    const isAbsent = error.code === 'ERR_DAEMON_NOT_RUNNING'
    const message = isAbsent ? `not running (${absence(target)})` : withoutName(error.message, target)
    output.error(`${target.name}: ${message}${stack}`)
  }
  return error.exitCode
}

function withoutName(message: string, { name }: Target): string {
  return message.startsWith(`${name}: `) ? message.slice(name.length + 2) : message
}

/** At least one, or everything that a configuration names. @throws UsageError */
export async function targetsOf({ command, options, words }: Invocation): Promise<Target[]> {
  const config = options.get<string>('config')
  if (config !== undefined) return namesFrom(config, words)
  if (options.has('all')) {
    if (words.length > 0) throw new UsageError('Expected --all or TARGETs, got both', command.name)
    return everyTarget()
  }
  if (words.length === 0) {
    const or = command.options.some(({ name }) => name === 'all') ? ', or --all' : ''
    throw new UsageError(`Expected at least one TARGET${or}`, command.name)
  }
  return words.map(parseTarget)
}

function isWithArgument({ command }: Invocation): boolean {
  return command.name === 'signal' || command.name === 'scale'
}

/** Checks what it is given at once. */
function actionOf({ command, options, words }: Invocation): Action {
  const timeout = options.get<number>('timeout')
  switch (command.name) {
    case 'stop':
      return target => stopOne(target, { timeout, signal: options.get('signal'), force: !options.has('no-force') })
    case 'reload':
      return async ({ path }) => timed('reloaded', () => reload(path, { timeout }))
    case 'reopen':
      return async ({ path }) => timed('reopened its logs', () => reopenLogs(path))
    case 'signal': {
      const name = signalNamed(words[1] ?? '', 'SIGNAL')
      return async ({ path }) => {
        await signal(path, name)
        return { line: `sent ${name}`, object: { signal: name } }
      }
    }
    default: {
      const change = scaleOf(words[1] ?? '')
      return async ({ path }) => timed(`scaled to ${change}`, () => scale(path, change))
    }
  }
}

export async function stopOne(
  target: Target,
  options: { timeout?: number | undefined; signal?: NodeJS.Signals | undefined; force?: boolean },
): Promise<Done & { object: object }> {
  const why = absence(target) // which is gone afterwards
  const stopped = await stop(target.path, options)
  const how = stopped.forced ? 'killed' : 'stopped'
  return {
    line: stopped.wasRunning ? `${how} (pid ${stopped.pid}, ${elapsed(stopped.elapsed)})` : `not running (${why})`,
    object: stopped,
  }
}

async function timed(what: string, action: () => Promise<unknown>): Promise<Done> {
  const start = performance.now()
  await action()
  const time = performance.now() - start
  return { line: `${what} (${elapsed(time)})`, object: { elapsed: time } }
}
