// The daemon's side of a start: what the launcher handed over is taken up, and the rest is set.

import type { Arrival } from '#native'
import { checked, done, native } from '../binding/addon.js'
import { during, SystemCallError } from '../errors/classes.js'
import type { Settings } from '../options/settings.js'
import { PidLock } from '../pid-lock.js'
import { requireStartDirectory } from '../process/program.js'
import { statePath } from '../running/paths.js'
import { changeIdentity } from './change-identity.js'
import type { Note } from './note.js'
import { RunningDaemon } from './running-daemon.js'
import { removeFilesAtExit, takeSockets } from './sockets.js'

// Read when the library is loaded: the program may clean its environment before the call.
const marker = process.env.DAEMONIC_START

/** Whether a launcher may have started this process: then what is printed goes where it was told. */
export const mayBeDaemon = marker !== undefined

/** What a launcher handed to this very process; null if none did. */
export function takeArrival(): Arrival | null {
  return marker === undefined ? null : native.arrive(marker)
}

export function noteOf(arrival: Arrival): Note {
  return JSON.parse(arrival.note)
}

/** Becomes the daemon; what fails here the launcher throws too. */
export function arrive(settings: Settings, arrival: Arrival, note = noteOf(arrival)): RunningDaemon {
  try {
    const sockets = takeSockets(note.paths)
    delete process.env.DAEMONIC_START
    if (!arrival.isWorker) removeFilesAtExit(sockets)
    done(arrival.takeStreams())
    const file = note.pidFile === null ? null : arrival.pidFile(note.pidFile)
    const pidFile = file && note.pidFile !== null ? PidLock.of(checked(file), [statePath(note.pidFile)]) : null
    // Node raises the soft limit of descriptors when it boots.
    const limits = settings.resources.limits.filter(({ resource }) => resource === 'nofile')
    done(native.applyResources({ limits }))
    changeIdentity(settings, arrival.parent)
    const { chdir, umask } = settings
    if (chdir !== false) during('chdir', chdir, () => process.chdir(chdir))
    if (umask !== false) process.umask(umask)
    const { worker = 0, workers = 1 } = note
    process.title = workers > 1 ? `${settings.name}: worker ${worker}` : settings.name
    return new RunningDaemon({
      settings,
      startDirectory: requireStartDirectory(),
      pidFile,
      sockets,
      logs: note.logs,
      worker,
      watchdog: note.watchdog ?? null,
      arrival,
      outlivesLauncher: note.given !== null,
    })
  } catch (error) {
    if (error instanceof SystemCallError) arrival.fail(error.step, error.errno, error.path)
    throw error
  }
}
