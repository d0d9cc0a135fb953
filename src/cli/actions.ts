// stop, reload, reopen, signal, scale: acting on running daemons, one after the other.
import { targetsOf } from './chosen-targets.js'
import { reportFailure } from './failures.js'
import type { Invocation } from './invocation.js'
import { elapsed, reload, reopenLogs, scale, signal } from './library.js'
import { scaleOf, signalNamed } from './parse-value.js'
import type { Output } from './print.js'
import { whileWaiting } from './progress.js'
import { type Outcome, stopOne } from './stop-one.js'
import { nearest, parseTarget, type Target } from './targets.js'

type Action = (target: Target) => Promise<Outcome>

/** Carries out the verb on each of its targets in turn, and returns the highest exit code. */
export async function actOnTargets(invocation: Invocation, output: Output): Promise<number> {
  const { command, options, words } = invocation
  const action = actionOf(invocation, output)
  const targets =
    words.length === 2 && takesArgument(invocation) ? [parseTarget(words[0] ?? '')] : await targetsOf(invocation)
  if (targets.length === 0) output.note('no daemon is running')
  let exitCode = 0
  for (const target of targets) {
    try {
      const { line, fields } = await whileWaiting(`${target.name}: ${command.progress}`, action(target))
      output.result(`${target.name}: ${line}`, { name: target.name, pidFile: target.path, ...fields })
    } catch (error) {
      exitCode = Math.max(exitCode, reportFailure(error, target, output, options))
    }
  }
  return exitCode
}

/** Tells whether the verb's second word is an argument, not another target. */
function takesArgument({ command }: Invocation): boolean {
  return command.name === 'signal' || command.name === 'scale'
}

/** Makes the action of the verb. Its argument is checked here, before any target is touched. */
function actionOf({ command, options, words }: Invocation, output: Output): Action {
  const timeout = options.get<number>('timeout')
  switch (command.name) {
    case 'stop':
      return async target => {
        const hint = nearest(target)
        if (hint !== '') output.note(`${target.name}: no such daemon${hint}`)
        return stopOne(target, { timeout, signal: options.get('signal'), force: !options.has('no-force') })
      }
    case 'reload':
      return async ({ path }) => timed('reloaded', () => reload(path, { timeout }))
    case 'reopen':
      return async ({ path }) => timed('reopened its logs', () => reopenLogs(path))
    case 'signal': {
      const name = signalNamed(words[1] ?? '', 'SIGNAL')
      return async ({ path }) => {
        await signal(path, name, { to: options.get('to') })
        return { line: `sent ${name}`, fields: { signal: name } }
      }
    }
    default: {
      const change = scaleOf(words[1] ?? '')
      return async ({ path }) => {
        const start = performance.now()
        const workers = await scale(path, change)
        const time = performance.now() - start
        return { line: `${counted(workers)} (${elapsed(time)})`, fields: { workers, elapsed: time } }
      }
    }
  }
}

function counted(workers: number): string {
  return workers === 1 ? '1 worker' : `${workers} workers`
}

async function timed(what: string, action: () => Promise<unknown>): Promise<Outcome> {
  const start = performance.now()
  await action()
  const time = performance.now() - start
  return { line: `${what} (${elapsed(time)})`, fields: { elapsed: time } }
}
