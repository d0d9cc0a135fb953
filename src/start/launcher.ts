// The launcher: starts the program again as a daemon, waits until it is ready, and ends.
import { constants } from 'node:os'
import { dirname } from 'node:path'
import type { Launch, Outcome } from '#native'
import { checked, native } from '../binding/addon.js'
import { StartError } from '../errors/classes.js'
import type { ListenMap } from '../option-types.js'
import type { Settings } from '../options/settings.js'
import { closeInspector } from '../process/inspector.js'
import { sameProgram } from '../process/program.js'
import { pruneFailedInstances } from '../running/failed-instances.js'
import { prepareDirectory, runDirectory } from '../running/paths.js'
import type { Launched } from '../types.js'
import { blockOutput, exitWithoutListeners, flush } from './flush.js'
import { namingErrors } from './name-errors.js'
import { planOf } from './plan.js'
import { addressesToAwait, launcherTimeout, socketsToBind } from './supervisor-plan.js'

/** Hears of a daemon that was started, before its launcher exits. */
export type Listener = (daemon: AnyLaunched) => void

/** A daemon with or without a pid file. */
export type AnyLaunched = Launched<ListenMap, string | null>

/**
 * Starts the daemon. Never returns: exits with 0 once the daemon is ready and `tell` has heard of it, or throws.
 * @throws AlreadyRunningError the pid file is locked
 * @throws SystemCallError a step fails, in this process or in the daemon
 * @throws StartError the daemon ended, or was late
 */
export function start(settings: Settings, tell?: Listener): never {
  const program = sameProgram()
  closeInspector()
  try {
    prepareDirectories(settings)
    const launch = namingErrors(settings, () => {
      const plan = planOf(settings, program)
      return checked(native.start(plan, launcherTimeout(settings, plan)))
    })
    const launched = launchedFrom(settings, launch)
    tell?.(launched)
    exitWithoutListeners(0)
  } catch (error) {
    // Left uncaught, it ends the process: what the program printed before must not be lost, and comes first.
    flush()
    blockOutput(false)
    throw error
  }
}

/** Describes the daemon that a start has led to. @throws StartError it has led to none */
export function launchedFrom(settings: Settings, { pid, addresses, outcome }: Launch): AnyLaunched {
  if (outcome.kind !== 'ready') throw startError(settings, outcome)
  const path = settings.pidFile?.path ?? null
  return {
    pid,
    started: true,
    target: path,
    pidFile: path,
    addresses: Object.fromEntries([
      ...socketsToBind(settings).map(({ name }, index) => [name, addresses[index] ?? '']),
      ...addressesToAwait(settings).map(({ name, address }) => [name, address]),
    ]),
  }
}

/** Creates the run and log directories, as far as files of the daemon will lie in them, and tidies up among instances. */
export function prepareDirectories({ pidFile, stdout, stderr, listen, instance }: Settings): void {
  for (const path of [pidFile?.path, stdout.path, stderr.path, ...listen.map(each => each.path)]) {
    if (path) prepareDirectory(path)
  }
  if (instance !== null && pidFile && dirname(pidFile.path) === runDirectory()) pruneFailedInstances()
}

/** Makes the error that says why a start has not led to a daemon. */
function startError({ name, startTimeout }: Settings, outcome: Outcome): StartError {
  const { kind, exitCode, signal, stderr, waiting, inTheWay } = outcome
  const left = inTheWay.length > 0 ? `; pid ${inTheWay.join(', ')} of the daemon before it may be in its way` : ''
  const early = `${name}: the daemon %s before it was ready${left}`
  if (kind === 'timeout') {
    const message = `${name}: the daemon was not ready after ${startTimeout} ms and was ended${waiting ? `: ${waiting}` : ''}${left}`
    return new StartError(message, { exitCode: 124, stderr, late: true })
  }
  if (signal) {
    const how =
      kind === 'interrupted' ? `${name}: the start was interrupted by %s` : early.replace('%s', 'was killed by %s')
    const known = signal as NodeJS.Signals
    return new StartError(how.replace('%s', signal), {
      exitCode: 128 + constants.signals[known],
      signal: known,
      stderr,
    })
  }
  if (kind === 'ended') {
    return new StartError(early.replace('%s', `exited with ${exitCode}`), { exitCode: exitCode || 1, stderr })
  }
  return new StartError(`${name}: the process between launcher and daemon was killed, and the daemon with it`, {
    exitCode: 1,
    stderr,
  })
}
