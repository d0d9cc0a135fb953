// Where nothing is detached, a supervisor takes this very process, and the program goes on in its workers.
import { rmSync } from 'node:fs'
import type { ListenPlan } from '#native'
import { closeInspector } from './context.js'
import { errorOf } from './errors.js'
import { naming } from './naming.js'
import { native } from './native.js'
import type { Settings } from './options.js'
import { flush } from './output.js'
import { prepareDirectory, statePath } from './paths.js'
import { type Launching, planOf } from './plan.js'
import type { Program } from './program.js'
import { knownOf, readState, writeState } from './state.js'

/** Returns never, but throws what failed; then nothing is left of it, unless outputs were to be other ones. */
export function takeOver(settings: Settings, program: Program, launching?: Launching): never {
  const { pidFile } = settings
  if (pidFile) prepareDirectory(pidFile.path)
  closeInspector()
  flush()
  const listen = withPassed(settings.listen)
  const here = { ...settings, listen }
  return naming(settings, () => {
    const refusal = native.becomeSupervisor(planOf(here, program, launching), bound => {
      if (!pidFile) return
      const addresses = Object.fromEntries(listen.map(({ name }, index) => [name, bound[index] ?? '']))
      const known = knownOf(here, program, [], launching?.record)
      writeState(pidFile.path, { ...known, pid: process.pid, addresses })
    })
    // Another's, which was why we failed perhaps, stays.
    if (pidFile && readState(pidFile.path, process.pid)) rmSync(statePath(pidFile.path), { force: true })
    throw errorOf(refusal)
  })
}

/** Sockets that a service manager passed under the same name are used instead. */
function withPassed(listen: readonly ListenPlan[]): ListenPlan[] {
  const passed = new Map(native.passedSockets().map(({ name, fd }) => [name, fd]))
  return listen.map(socket => {
    const fd = passed.get(socket.name)
    return fd === undefined ? socket : { ...socket, fd }
  })
}
