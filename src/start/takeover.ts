// Supervision without detaching: the supervisor takes this very process by exec, and the program runs in its workers.
import { rmSync } from 'node:fs'
import type { ListenPlan } from '#native'
import { native } from '../binding/addon.js'
import { listenPlanOf, passedSockets } from '../daemon/passed-sockets.js'
import { errorOf } from '../errors/classes.js'
import type { Settings } from '../options/settings.js'
import { closeInspector } from '../process/inspector.js'
import type { Program } from '../process/program.js'
import { serviceUnit } from '../process/service-unit.js'
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
  const listen = withPassed(settings, launching !== undefined)
  const here = { ...settings, listen }
  return namingErrors(settings, () => {
    const refusal = native.executeSupervisor(planOf(here, program, launching, true), bound => {
      if (!pidFile) return
      const addresses = Object.fromEntries(listen.map(({ name }, index) => [name, bound[index] ?? '']))
      const known = knownOf(here, program, true, [], launching?.record, serviceUnit())
      writeState(pidFile.path, { ...known, pid: process.pid, addresses })
    })
    // The state of another daemon stays: it may be why this one failed.
    if (pidFile && readState(pidFile.path, process.pid)) rmSync(statePath(pidFile.path), { force: true })
    blockOutput(false)
    throw errorOf(refusal)
  })
}

/**
 * Marks the sockets that a service manager has passed: they are used instead of binding them. Those that `listen` does not
 * name are handed on to the workers all the same, since the program may know of them.
 */
function withPassed({ listen, ready }: Settings, mayAskForMore: boolean): ListenPlan[] {
  if (ready === 'port') return listen // the program itself binds them
  const { taken, others } = passedSockets(listen, mayAskForMore)
  const known = listen.map(plan => {
    const socket = taken.get(plan.name)
    return socket === undefined ? plan : { ...plan, fd: socket.fd }
  })
  return [
    ...known,
    ...others.map(({ name, fd, address }, index) => listenPlanOf(name || `passed-${index}`, fd, address)),
  ]
}
