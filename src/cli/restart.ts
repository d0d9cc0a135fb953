// restart: stops a daemon, and starts it as it was started.
import { once } from 'node:events'
import { constants as access, accessSync, existsSync } from 'node:fs'
import { constants } from 'node:os'
import { dirname } from 'node:path'
import { targetIn, targetsOf } from './chosen-targets.js'
import { daemonsFrom } from './config-file.js'
import { reportFailure } from './failures.js'
import type { Invocation } from './invocation.js'
import { Interruption, type Job, jobOf, printStarted, startOne } from './job.js'
import {
  AlreadyRunningError,
  checkLaunch,
  DaemonError,
  draftState,
  during,
  launch,
  OPTIONS,
  PidLock,
  prepareDirectory,
  readLastState,
  readState,
  readStateToExecute,
  runningTime,
  type StartOptions,
  type State,
  scale,
  statePath,
} from './library.js'
import type { Output } from './print.js'
import { whileWaiting } from './progress.js'
import { stopOne } from './stop-one.js'
import { absence, lookAt, type Target } from './targets.js'
import { restartUnit } from './unit.js'

/** Carries out `restart` for each daemon in turn, and returns the highest exit code. */
export async function restart(invocation: Invocation, output: Output): Promise<number> {
  const { options } = invocation
  const timeout = options.get<number>('timeout')
  let exitCode = 0
  for (const { target, job } of await restartsOf(invocation)) {
    try {
      if (job) prepareDirectory(target.path)
      else if (!existsSync(dirname(target.path))) lastState(target)
      await oneAtATime(target, timeout, async () => {
        if (await wasRestartedMeanwhile(target, output)) return
        if (restartUnit(target, output)) return
        if (!job) return startAgain(target, timeout, output)
        checkLaunch(job.program, job.options)
        await stopIfRunning(target, timeout, output)
        await startOne(job, output)
      })
    } catch (error) {
      exitCode = Math.max(exitCode, reportFailure(error, target, output, options))
      if (error instanceof Interruption) break
    }
  }
  return exitCode
}

/** Lists what is to be restarted. With a configuration file each daemon is started as the file says, not as it was. */
async function restartsOf(invocation: Invocation): Promise<{ target: Target; job?: Job }[]> {
  const config = invocation.options.get<string>('config')
  if (config === undefined) return (await targetsOf(invocation)).map(target => ({ target }))
  const daemons = await daemonsFrom(config, invocation.words)
  return daemons.map(each => ({ target: targetIn(each), job: jobOf(each) }))
}

/**
 * Keeps two restarts of one daemon apart: each would stop what the other has started. The second waits for the first,
 * and then finds the daemon restarted.
 */
async function oneAtATime(target: Target, stopTimeout: number | undefined, action: () => Promise<void>): Promise<void> {
  const timeout = timeOfRestart(target, stopTimeout)
  const lock = await PidLock.wait(`${target.path.replace(/\.pid$/, '')}.restart`, { timeout }).catch(error => {
    if (!(error instanceof AlreadyRunningError)) throw error
    const who = error.pid === null ? 'another process' : `pid ${error.pid}`
    throw new DaemonError(`${who} has been restarting it for ${timeout} ms: see what that waits for`, error.code)
  })
  try {
    await action()
  } finally {
    lock.release()
  }
}

/** Gives the time that a restart by another command may take: that of a stop and a start, in milliseconds. */
function timeOfRestart(target: Target, stopTimeout: number | undefined): number {
  const state = readLastState(target.path)
  const { startTimeout = OPTIONS.startTimeout.default } = (state?.launch?.options ?? {}) as StartOptions
  return Math.ceil((stopTimeout ?? state?.stopTimeout ?? OPTIONS.stopTimeout.default) + startTimeout)
}

/**
 * Tells whether another command restarted the daemon after this one was called. Both times are counted by a clock that
 * nobody can set.
 */
async function wasRestartedMeanwhile(target: Target, output: Output): Promise<boolean> {
  const { state, pid } = lookAt(target.path)
  if (state !== 'running' || pid === null) return false
  const age = runningTime(pid) ?? Date.now() - (readState(target.path, pid)?.startedAt ?? 0)
  if (age >= performance.now()) return false
  output.result(`${target.name}: running as pid ${pid}, restarted meanwhile`, {
    name: target.name,
    pid,
    started: false,
  })
  return true
}

async function startAgain(target: Target, timeout: number | undefined, output: Output): Promise<void> {
  const last = lastState(target)
  const startLikeLast = last.launch ? launchAgain(target, last.launch, last.directory) : runAgain(target, last)
  // The state file is removed with the daemon, or by a failed start; the next restart needs it. Where the disk is full
  // this fails, and nothing has been stopped.
  const copy = draftState(target.path, last)
  try {
    await stopIfRunning(target, timeout, output)
    const begin = performance.now()
    const launched = await startLikeLast()
    if (last.scaledTo !== undefined)
      await scale(target.path, String(last.scaledTo)).catch(noteUnlessBug(target, output))
    printStarted(target.name, launched, performance.now() - begin, output)
  } catch (error) {
    if (!existsSync(statePath(target.path))) copy.publish()
    throw error
  } finally {
    copy.discard()
  }
}

/** Notes that a daemon which runs again could not be scaled as it was: its program may have changed. */
function noteUnlessBug({ name }: Target, output: Output): (error: unknown) => void {
  return error => {
    if (!(error instanceof DaemonError)) throw error
    output.note(`${name}: not as many workers as before: ${error.message}`)
  }
}

async function stopIfRunning(target: Target, timeout: number | undefined, output: Output): Promise<void> {
  const { state } = lookAt(target.path)
  if (state === 'absent' || state === 'free') return
  const { line } = await whileWaiting(`${target.name}: stopping`, stopOne(target, { timeout }))
  if (output.verbosity > 0) output.note(`${target.name}: ${line}`)
}

/**
 * Reads how the daemon was started.
 * @throws DaemonError ERR_DAEMON_STATE there is no state file; EPERM it is another user's
 */
function lastState(target: Target): State {
  const last = readStateToExecute(target.path)
  if (last) return last
  const { state, pid } = lookAt(target.path)
  const isRunning = state === 'running' || state === 'starting'
  const why = isRunning ? `pid ${pid} runs, but` : `not running (${absence(target)}), and`
  const path = statePath(target.path)
  throw new DaemonError(`${why} how it was started is not known (${path}): start it`, 'ERR_DAEMON_STATE')
}

/** Prepares the launch() that started the daemon. Checks it now, before anything is stopped; the result starts it. */
function launchAgain(target: Target, { program, options }: NonNullable<State['launch']>, directory: string) {
  during('chdir', directory, () => process.chdir(directory))
  const env = options.env as Record<string, string | null> | undefined
  const given = env && Object.fromEntries(Object.entries(env).map(([name, value]) => [name, value ?? undefined]))
  const sameOptions = { ...options, ...(given && { env: given }) } as StartOptions
  checkLaunch(program, sameOptions)
  return () => whileWaiting(`${target.name}: starting`, launch(program, sameOptions))
}

/** Prepares running a program again that calls daemonize() itself. Checks it now; the result runs it. */
function runAgain(target: Target, state: State) {
  const {
    arguments: [program = ''],
    directory,
  } = state
  during('chdir', directory, () => process.chdir(directory))
  if (program.includes('/')) during('exec', program, () => accessSync(program, access.X_OK))
  return () => runProgram(target, state)
}

async function runProgram(target: Target, { arguments: [program = '', ...args], directory, addresses }: State) {
  // Loading node:child_process takes as long as the rest of the command.
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
  return { pid, started: true, pidFile: target.path, addresses: readState(target.path, pid)?.addresses ?? addresses }
}
