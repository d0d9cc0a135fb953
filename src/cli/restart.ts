// restart: what runs is stopped, and started as it was.
import { once } from 'node:events'
import { constants as access, accessSync, existsSync, statSync } from 'node:fs'
import { constants } from 'node:os'
import { dirname } from 'node:path'
import { startedPhrase } from '../command/phrases.js'
import { DaemonError, during } from '../errors/classes.js'
import { PidLock } from '../pid-lock.js'
import { prepareDirectory, statePath } from '../running/paths.js'
import { readLastState, type State, writeState } from '../running/state-file.js'
import { failure, stopOne, targetsOf } from './actions.js'
import { daemonsFrom, targetIn } from './config-file.js'
import { checkLaunch, launch, type StartOptions } from './library.js'
import type { Invocation } from './parse.js'
import type { Output } from './print.js'
import { whileWaiting } from './progress.js'
import { Interruption, type Job, jobOf, startOne } from './start.js'
import { absence, lookAt, type Target } from './targets.js'

export async function restart(invocation: Invocation, output: Output): Promise<number> {
  const { options } = invocation
  const timeout = options.get<number>('timeout')
  let exitCode = 0
  for (const { target, job } of await restartsOf(invocation)) {
    try {
      if (job) prepareDirectory(target.path)
      else if (!existsSync(dirname(target.path))) lastState(target)
      await alone(target, async () => {
        if (await isDoneByAnother(target, output)) return
        if (!job) return startAgain(target, timeout, output)
        checkLaunch(job.program, job.options)
        await stopIfRunning(target, timeout, output)
        await startOne(job, output)
      })
    } catch (error) {
      exitCode = Math.max(exitCode, failure(error, target, output, options))
      if (error instanceof Interruption) break
    }
  }
  return exitCode
}

/** With a configuration the jobs are its. */
async function restartsOf(invocation: Invocation): Promise<{ target: Target; job?: Job }[]> {
  const config = invocation.options.get<string>('config')
  if (config === undefined) return (await targetsOf(invocation)).map(target => ({ target }))
  const daemons = await daemonsFrom(config, invocation.words)
  return daemons.map(each => ({ target: targetIn(each), job: jobOf(each) }))
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

/** Since this command was called, which is before it was loaded. */
async function isDoneByAnother(target: Target, output: Output): Promise<boolean> {
  const { state, pid } = lookAt(target.path)
  const last = readLastState(target.path)
  if (state !== 'running' || last?.pid !== pid || last.startedAt <= performance.timeOrigin) return false
  output.result(`${target.name}: running as pid ${pid}, restarted meanwhile`, {
    name: target.name,
    pid,
    started: false,
  })
  return true
}

async function startAgain(target: Target, timeout: number | undefined, output: Output): Promise<void> {
  const last = lastState(target)
  const again = last.launch ? launching(target, last.launch, last.directory) : running(target, last)
  await stopIfRunning(target, timeout, output)
  const begin = performance.now()
  const launched = await again().catch(error => {
    // It went with the daemon, or with the start that failed; the next restart needs it.
    if (readLastState(target.path) === null) writeState(target.path, last)
    throw error
  })
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

/** Finds what is wrong at once; starts when it is called. */
function launching(target: Target, { program, options }: NonNullable<State['launch']>, directory: string) {
  during('chdir', directory, () => process.chdir(directory))
  const env = options.env as Record<string, string | null> | undefined
  const given = env && Object.fromEntries(Object.entries(env).map(([name, value]) => [name, value ?? undefined]))
  const again = { ...options, ...(given && { env: given }) } as StartOptions
  checkLaunch(program, again)
  return () => whileWaiting(`${target.name}: starting`, launch(program, again))
}

/** The same of one that makes itself a daemon. */
function running(target: Target, state: State) {
  const {
    arguments: [program = ''],
    directory,
  } = state
  during('chdir', directory, () => process.chdir(directory))
  if (program.includes('/')) during('exec', program, () => accessSync(program, access.X_OK))
  return () => runAgain(target, state)
}

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
