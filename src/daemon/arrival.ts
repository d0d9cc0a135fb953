// The daemon's side of a start: it takes up what the launcher handed over, and does what could not be done before exec.
import type { Arrival } from '#native'
import { checked, native } from '../binding/addon.js'
import { DaemonError, SystemCallError } from '../errors/classes.js'
import { NO_RESOURCES } from '../options/resources.js'
import type { Settings } from '../options/settings.js'
import { PidLock } from '../pid-lock.js'
import { mainModuleEvaluated } from '../process/main-module.js'
import { requireStartDirectory } from '../process/program.js'
import { setTitle } from '../process/title.js'
import { bothVersions } from '../process/version.js'
import { statePath } from '../running/paths.js'
import { apply, changesOf } from './apply.js'
import { NOTE_FORMAT, type Note } from './note.js'
import { RunningDaemon } from './running-daemon.js'
import { removeFilesAtExit, takeSockets } from './sockets.js'
import { keepTerminalSignals } from './terminal-signals.js'

// Read when the library is loaded: the program may clean its environment before the call.
const marker = process.env.DAEMONIC_START

/** Whether a launcher may have started this process: then the standard streams are as the options ask. */
export const mayBeDaemon = marker !== undefined

/** Takes what a launcher handed to this very process; null if none did. */
export function takeArrival(): Arrival | null {
  return marker === undefined ? null : native.arrive(marker)
}

/**
 * Reads what the launcher wrote down for the daemon.
 * @throws DaemonError ERR_DAEMON_VERSION: a later version wrote it, in a format that this one doesn't know
 */
export function noteOf(arrival: Arrival): Note {
  const note: Note = JSON.parse(arrival.note)
  if (note.format <= NOTE_FORMAT) return note
  const what = `this process was started ${bothVersions(note.version)}, which is too old for it. Install one version for both`
  throw new DaemonError(what, 'ERR_DAEMON_VERSION')
}

/**
 * Becomes the daemon that a launcher started. `entry` is the main module's URL, where it is loaded later.
 * @throws SystemCallError a step of the start fails; the launcher is told, and throws the same
 */
export function arrive(
  settings: Settings,
  arrival: Arrival,
  note = noteOf(arrival),
  entry?: Promise<string>,
): RunningDaemon {
  const evaluated = mainModuleEvaluated(entry)
  try {
    const sockets = takeSockets(note.paths)
    delete process.env.DAEMONIC_START
    if (!arrival.isWorker) removeFilesAtExit(sockets)
    checked(arrival.takeStreams())
    const file = note.pidFile === null ? null : arrival.pidFile(note.pidFile)
    const pidFile = file && note.pidFile !== null ? PidLock.of(checked(file), [statePath(note.pidFile)]) : null
    const { resources, identity, directory, umask } = changesOf(settings)
    // The others were applied before exec; but Node has raised the soft limit of descriptors when it booted.
    const limits = resources.limits.filter(({ resource }) => resource === 'nofile')
    const { worker = 0, workers = 1, foreground = false } = note
    // In the foreground the directory stays, as without a supervisor; launch() and the command have been asked for theirs.
    const stays = foreground && note.given === null && identity.chroot === undefined
    apply(
      { resources: { ...NO_RESOURCES, limits }, identity, directory: stays ? false : directory, umask },
      arrival.parent,
    )
    if (foreground) keepTerminalSignals(settings)
    setTitle(workers > 1 ? `${settings.title}: worker ${worker}` : settings.title)
    return new RunningDaemon({
      settings,
      startDirectory: requireStartDirectory(),
      pidFile,
      sockets,
      logs: note.logs,
      worker,
      watchdog: note.watchdog ?? null,
      detached: !foreground,
      isKnown: note.given === null,
      arrival,
      outlivesLauncher: note.given !== null,
      evaluated,
    })
  } catch (error) {
    if (error instanceof SystemCallError) arrival.fail(error.step, error.errno, error.path)
    throw error
  }
}
