// Where nothing is detached: this very process becomes the daemon, as far as that goes.
import { checked, native } from '../binding/addon.js'
import { apply, changesOf } from '../daemon/apply.js'
import { RunningDaemon } from '../daemon/running-daemon.js'
import { intercept } from '../daemon/signal-gate.js'
import { listenHere } from '../daemon/sockets.js'
import { keepTerminalSignals } from '../daemon/terminal-signals.js'
import type { Settings } from '../options/settings.js'
import { PidLock } from '../pid-lock.js'
import { mainModuleEvaluated } from '../process/main-module.js'
import { commandLine, requireStartDirectory, sameProgram } from '../process/program.js'
import { serviceUnit } from '../process/service-unit.js'
import { setTitle } from '../process/title.js'
import { prepareDirectory, statePath } from '../running/paths.js'
import { requireRoomForState, writeState } from '../running/state-file.js'
import type { Daemon } from '../types.js'
import { knownOf } from './known.js'
import { namingErrors } from './name-errors.js'
import { takeOver } from './takeover.js'

/**
 * Makes a daemon of this very process; standard streams and working directory stay as they are. With supervision it never
 * returns: the supervisor takes this process, and the program runs again in its workers.
 * @throws AlreadyRunningError the pid file is locked
 * @throws SystemCallError a step is refused; the pid file is released again
 */
export function startInForeground(settings: Settings): Daemon {
  if (settings.supervision) return takeOver({ ...settings, ...INHERITED }, sameProgram())
  // From here on Node notes these, and emits them once this call has returned, when the daemon has listeners of its own: one
  // that ended the process in between would leave the pid file behind.
  intercept()
  for (const signal of ENDING) process.on(signal, noted)
  try {
    return becomeDaemon(settings)
  } finally {
    for (const signal of ENDING) process.off(signal, noted)
  }
}

const ENDING = ['SIGTERM', 'SIGINT', 'SIGQUIT'] as const
const noted = () => {}

function becomeDaemon(settings: Settings): Daemon {
  const evaluated = mainModuleEvaluated()
  const { pidFile: file } = settings
  if (file) prepareDirectory(file.path)
  if (file) requireRoomForState(file.path)
  const pidFile =
    file &&
    namingErrors(settings, () =>
      PidLock.of(checked(native.acquirePidFile(file.path, file.mode, file.overwrite)), [statePath(file.path)]),
    )
  try {
    const sockets = listenHere(settings.listen)
    const changes = changesOf(settings)
    // The directory stays, but nothing stays outside of a new root.
    apply({ ...changes, directory: changes.identity.chroot === undefined ? false : changes.directory })
    setTitle(settings.title)
    keepTerminalSignals(settings)
    if (pidFile) {
      const addresses = Object.fromEntries(Object.entries(sockets).map(([key, { address }]) => [key, address]))
      const command = { arguments: commandLine(), directory: requireStartDirectory() }
      writeState(pidFile.path, {
        ...knownOf(settings, command, false, [], undefined, serviceUnit()),
        pid: process.pid,
        addresses,
      })
    }
    return new RunningDaemon({
      settings,
      startDirectory: requireStartDirectory(),
      pidFile,
      sockets,
      logs: [],
      worker: 0,
      watchdog: null,
      detached: false,
      isKnown: true,
      arrival: null,
      outlivesLauncher: false,
      evaluated,
    })
  } catch (error) {
    pidFile?.release()
    throw error
  }
}

const INHERIT = { kind: 'inherit' } as const
const INHERITED = { stdin: INHERIT, stdout: INHERIT, stderr: INHERIT }
