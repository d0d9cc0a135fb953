// restart: what runs is stopped, and started as it was.
import { once } from 'node:events'
import { existsSync, statSync } from 'node:fs'
import { constants } from 'node:os'
import { dirname } from 'node:path'
import { DaemonError, during } from '../errors.js'
import { prepareDirectory, statePath } from '../paths.js'
import { startedPhrase } from '../phrases.js'
import { PidLock } from '../pid-lock.js'
import { readLastState, type State } from '../state.js'
import { launch, type StartOptions } from './backend.js'
import { daemonsFrom } from './config.js'
import { failure, stopOne, targetsOf } from './control.js'
import type { Output } from './output.js'
import type { Invocation } from './parse.js'
import { whileWaiting } from './progress.js'
import { jobOf, startOne } from './start.js'
import { absence, lookAt, type Target } from './targets.js'

export async function restart(invocation: Invocation, output: Output): Promise<number> {
  const { options, words } = invocation
  const timeout = options.get<number>('timeout')
  const config = options.get<string>('config')
  const targets = await targetsOf(invocation)
  const jobs = config === undefined ? [] : (await daemonsFrom(config, words)).map(each => jobOf(each))
  const calledAt = Date.now()
  let exitCode = 0
  for (const [index, target] of targets.entries()) {
    const job = jobs[index]
    try {
      if (job) prepareDirectory(target.path)
      else if (!existsSync(dirname(target.path))) lastState(target)
      await alone(target, async () => {
        if (await isDoneByAnother(target, calledAt, output)) return
        if (!job) return startAgain(target, timeout, output)
        await stopIfRunning(target, timeout, output)
        await startOne(job, output)
      })
    } catch (error) {
      exitCode = Math.max(exitCode, failure(error, target, output, options))
    }
  }
  return exitCode
}

/** Two restarts at once would stop each other's: the second waits, and finds that it is done. */
async function alone(target: Target, action: () => Promise<void>): Promise<void> {
  const lock = await PidLock.wait(`${target.path.replace(/\.pid$/, '')}.restart`)
  try {
    await action()
  } finally {
    lock.release()
  }
}

async function isDoneByAnother(target: Target, calledAt: number, output: Output): Promise<boolean> {
  const { state, pid } = lookAt(target.path)
  const last = readLastState(target.path)
  if (state !== 'running' || last?.pid !== pid || last.startedAt <= calledAt) return false
  output.result(`${target.name}: running as pid ${pid}, restarted meanwhile`, {
    name: target.name,
    pid,
    started: false,
  })
  return true
}

async function startAgain(target: Target, timeout: number | undefined, output: Output): Promise<void> {
  const last = lastState(target)
  await stopIfRunning(target, timeout, output)
  const begin = performance.now()
  const launched = last.launch ? await launchAgain(target, last.launch, last.directory) : await runAgain(target, last)
  const time = performance.now() - begin
  output.result(`${target.name}: ${startedPhrase(launched, time)}`, { name: target.name, ...launched, elapsed: time })
}

async function stopIfRunning(target: Target, timeout: number | undefined, output: Output): Promise<void> {
  const { state } = lookAt(target.path)
  if (state === 'absent' || state === 'free') return
  const { line } = await whileWaiting(`${target.name}: stopping`, stopOne(target, { timeout }))
  if (output.verbosity > 0) output.note(`${target.name}: ${line}`)
}

/** What runs next is what this file says: it must be ours. */
function lastState(target: Target): State {
  const last = readLastState(target.path)
  const path = statePath(target.path)
  if (!last) {
    const { state, pid } = lookAt(target.path)
    const isRunning = state === 'running' || state === 'starting'
    const why = isRunning ? `pid ${pid} runs, but` : `not running (${absence(target)}), and`
    throw new DaemonError(`${why} how it was started is not known (${path}): start it`, 'ERR_DAEMON_STATE')
  }
  const { uid } = during('process', path, () => statSync(path))
  if (uid !== process.geteuid?.()) {
    throw new DaemonError(`${path} belongs to user ${uid}: restart it as that user`, 'EPERM')
  }
  return last
}

function launchAgain(target: Target, { program, options }: NonNullable<State['launch']>, directory: string) {
  during('chdir', directory, () => process.chdir(directory))
  const env = options.env as Record<string, string | null> | undefined
  const given = env && Object.fromEntries(Object.entries(env).map(([name, value]) => [name, value ?? undefined]))
  const again = { ...options, ...(given && { env: given }) } as StartOptions
  return whileWaiting(`${target.name}: starting`, launch(program, again))
}

/** It makes itself a daemon, as it did before. */
async function runAgain(target: Target, { arguments: [program = '', ...args], directory, addresses }: State) {
  // Loading it takes as long as all the rest of the command.
  const { spawn } = process.getBuiltinModule('node:child_process')
  const child = spawn(program, args, {
    cwd: directory,
    env: { ...process.env, DAEMONIC_DETACH: 'true' },
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  const ended = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>
  const [code, signal] = await whileWaiting(`${target.name}: starting`, ended).catch(error => {
    throw new DaemonError(`cannot execute ${program} in ${directory}: ${error.message}`, 'ERR_DAEMON_START', 127)
  })
  if (code !== 0) {
    const how = signal ? `was killed by ${signal}` : `exited with ${code}`
    const exitCode = signal ? 128 + constants.signals[signal] : (code ?? 1)
    throw new DaemonError(`the start ${how}`, 'ERR_DAEMON_START', exitCode)
  }
  const { state, pid } = lookAt(target.path)
  if (pid === null || state === 'absent' || state === 'free') {
    throw new DaemonError(`it was started, and runs no more (${absence(target)})`, 'ERR_DAEMON_START')
  }
  return { pid, started: true, pidFile: target.path, addresses: readLastState(target.path)?.addresses ?? addresses }
}
