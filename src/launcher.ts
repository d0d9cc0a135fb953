// The launcher: starts the program again as a daemon, waits until it is ready, and ends.
import { existsSync } from 'node:fs'
import { constants } from 'node:os'
import type { Outcome } from '#native'
import { closeInspector } from './context.js'
import { StartError } from './errors.js'
import { naming } from './naming.js'
import { checked, native } from './native.js'
import type { Settings } from './options.js'
import { leave } from './output.js'
import { prepareDirectory } from './paths.js'
import { logsOf, planOf } from './plan.js'
import { sameProgram } from './program.js'
import { removeState, stateOf, writeState } from './state.js'
import { LAUNCHER_PATIENCE } from './supervisor.js'

/** Never returns: ends the process when the daemon is ready, or throws. */
export function start(settings: Settings): never {
  const program = sameProgram()
  closeInspector()
  for (const path of [settings.pidFile?.path, settings.stdout.path, settings.stderr.path]) {
    if (path) prepareDirectory(path)
  }
  const outcome = naming(settings, () => {
    const start = checked(native.begin(planOf(settings, program)))
    if (settings.pidFile) {
      const addresses = Object.fromEntries(
        settings.listen.map(({ name }, index) => [name, start.addresses[index] ?? '']),
      )
      writeState(settings.pidFile.path, stateOf(settings, start.pid, addresses, logsOf(settings)))
    }
    return checked(start.wait(settings.startTimeout + (settings.supervision ? LAUNCHER_PATIENCE : 0)))
  })
  if (outcome.kind === 'ready') {
    // It may have done its work and gone before the state was written.
    if (settings.pidFile && !existsSync(settings.pidFile.path)) removeState(settings.pidFile.path)
    leave(0)
  }
  throw startError(settings, outcome)
}

function startError({ name, startTimeout }: Settings, { kind, exitCode, signal, stderr }: Outcome): StartError {
  const early = `${name}: the daemon %s before it was ready`
  if (kind === 'timeout') {
    const message = `${name}: the daemon was not ready after ${startTimeout} ms and was ended`
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
