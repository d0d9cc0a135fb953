// Supervision without detaching: the supervisor takes this very process by exec, and the program runs in its workers.
import { rmSync } from 'node:fs'
import type { ListenPlan } from '#native'
import { native } from '../binding/addon.js'
import { errorOf } from '../errors/classes.js'
import type { Settings } from '../options/settings.js'
import { closeInspector } from '../process/inspector.js'
import type { Program } from '../process/program.js'
import { prepareDirectory, statePath } from '../running/paths.js'
import { readState, writeState } from '../running/state-file.js'
import { blockOutput, flush } from './flush.js'
import { knownOf } from './known.js'
import { namingErrors } from './name-errors.js'
import { type Launching, planOf } from './plan.js'

/**
 * Executes the supervisor in this process. Returns never, but throws what failed; then nothing is left of the attempt.
 * @throws AlreadyRunningError the pid file is locked
 * @throws SystemCallError a step fails
 */
export function takeOver(settings: Settings, program: Program, launching?: Launching): never {
  const { pidFile } = settings
  if (pidFile) prepareDirectory(pidFile.path)
  closeInspector()
  flush()
  const listen = withPassed(settings.listen)
  const here = { ...settings, listen }
  return namingErrors(settings, () => {
    const refusal = native.executeSupervisor(planOf(here, program, launching, true), bound => {
      if (!pidFile) return
      const addresses = Object.fromEntries(listen.map(({ name }, index) => [name, bound[index] ?? '']))
      const known = knownOf(here, program, true, [], launching?.record)
      writeState(pidFile.path, { ...known, pid: process.pid, addresses })
    })
    // The state of another daemon stays: it may be why this one failed.
    if (pidFile && readState(pidFile.path, process.pid)) rmSync(statePath(pidFile.path), { force: true })
    blockOutput(false)
    throw errorOf(refusal)
  })
}

/** Marks sockets that a service manager has passed under the same name: they are used instead of binding them. */
function withPassed(listen: readonly ListenPlan[]): ListenPlan[] {
  const passed = new Map(native.passedSockets().map(({ name, fd }) => [name, fd]))
  return listen.map(socket => {
    const fd = passed.get(socket.name)
    return fd === undefined ? socket : { ...socket, fd }
  })
}
