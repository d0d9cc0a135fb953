// Where nothing is detached, a supervisor takes this very process, and the program goes on in its workers.
import { rmSync } from 'node:fs'
import type { ListenPlan } from '#native'
import { native } from '../binding/addon.js'
import { closeInspector } from '../detach-context.js'
import { errorOf } from '../errors/classes.js'
import type { Settings } from '../options/settings.js'
import type { Program } from '../process/program.js'
import { prepareDirectory, statePath } from '../running/paths.js'
import { readState, writeState } from '../running/state-file.js'
import { flush } from './flush.js'
import { knownOf } from './known.js'
import { naming } from './naming.js'
import { type Launching, planOf } from './plan.js'

/** Returns never, but throws what failed; then nothing is left of it, unless outputs were to be other ones. */
export function takeOver(settings: Settings, program: Program, launching?: Launching): never {
  const { pidFile } = settings
  if (pidFile) prepareDirectory(pidFile.path)
  closeInspector()
  flush()
  const listen = withPassed(settings.listen)
  const here = { ...settings, listen }
  return naming(settings, () => {
    const refusal = native.executeSupervisor(planOf(here, program, launching), bound => {
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
