// The launcher: starts the program again as a daemon, waits until it is ready, and ends.
import { constants } from 'node:os'
import type { Outcome } from '#native'
import { checked, native } from '../binding/addon.js'
import { StartError } from '../errors/classes.js'
import type { Settings } from '../options/settings.js'
import { closeInspector } from '../process/inspector.js'
import { sameProgram } from '../process/program.js'
import { prepareDirectory } from '../running/paths.js'
import { blockOutput, exitWithoutListeners, flush } from './flush.js'
import { namingErrors } from './name-errors.js'
import { planOf } from './plan.js'
import { launcherTimeout } from './supervisor-plan.js'

/**
 * Starts the daemon. Never returns: exits with 0 once the daemon is ready, or throws.
 * @throws AlreadyRunningError the pid file is locked
 * @throws SystemCallError a step fails, in this process or in the daemon
 * @throws StartError the daemon ended, or was late
 */
export function start(settings: Settings): never {
  const program = sameProgram()
  closeInspector()
  try {
    prepareDirectories(settings)
    const outcome = namingErrors(settings, () => {
      const plan = planOf(settings, program)
      return checked(native.start(plan, launcherTimeout(settings, plan)))
    })
    if (outcome.kind === 'ready') exitWithoutListeners(0)
    throw startError(settings, outcome)
  } catch (error) {
    // Left uncaught, it ends the process: what the program printed before must not be lost, and comes first.
    flush()
    blockOutput(false)
    throw error
  }
}

/** Creates the run and log directories, as far as files of the daemon will lie in them. */
export function prepareDirectories({ pidFile, stdout, stderr, listen }: Settings): void {
  for (const path of [pidFile?.path, stdout.path, stderr.path, ...listen.map(each => each.path)]) {
    if (path) prepareDirectory(path)
  }
}

/** Makes the error that says why a start has not led to a daemon. */
export function startError({ name, startTimeout }: Settings, outcome: Outcome): StartError {
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
