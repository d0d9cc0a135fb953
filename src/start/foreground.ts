// Where nothing is detached: this very process becomes the daemon, as far as that goes.

import { checked, done, native } from '../binding/addon.js'
import { changeIdentity } from '../daemon/change-identity.js'
import { RunningDaemon } from '../daemon/running-daemon.js'
import { listenHere } from '../daemon/sockets.js'
import { during } from '../errors/classes.js'
import type { Settings } from '../options/settings.js'
import { PidLock } from '../pid-lock.js'
import { commandLine, requireStartDirectory, sameProgram } from '../process/program.js'
import { prepareDirectory, statePath } from '../running/paths.js'
import { requireRoomForState, writeState } from '../running/state-file.js'
import type { Daemon } from '../types.js'
import { knownOf } from './known.js'
import { naming } from './naming.js'
import { takeOver } from './takeover.js'

/** Standard streams and the working directory stay as they are. */
export function stay(settings: Settings): Daemon {
  if (settings.supervision) return takeOver({ ...settings, ...INHERITED }, sameProgram())
  const { name, pidFile: file, chdir, umask, environment, resources } = settings
  if (file) prepareDirectory(file.path)
  if (file) requireRoomForState(file.path)
  const pidFile =
    file &&
    naming(settings, () =>
      PidLock.of(checked(native.acquirePidFile(file.path, file.mode, file.overwrite)), [statePath(file.path)]),
    )
  try {
    const sockets = listenHere(settings.listen)
    done(native.applyResources(resources))
    for (const { name, value } of environment) {
      if (value === undefined) delete process.env[name]
      else process.env[name] = value
    }
    changeIdentity(settings)
    // The directory stays, but there is no staying outside of a new root.
    if (chdir !== false && settings.identity.change.chroot) during('chdir', chdir, () => process.chdir(chdir))
    if (umask !== false) process.umask(umask)
    process.title = name
    keepTerminalSignals(settings)
    if (pidFile) {
      const addresses = Object.fromEntries(Object.entries(sockets).map(([key, { address }]) => [key, address]))
      const command = { arguments: commandLine(), directory: requireStartDirectory() }
      writeState(pidFile.path, { ...knownOf(settings, command, []), pid: process.pid, addresses })
    }
    return new RunningDaemon({
      settings,
      startDirectory: requireStartDirectory(),
      pidFile,
      sockets,
      logs: [],
      worker: 0,
      watchdog: null,
      arrival: null,
      outlivesLauncher: false,
    })
  } catch (error) {
    pidFile?.release()
    throw error
  }
}

const INHERIT = { kind: 'inherit' } as const
const INHERITED = { stdin: INHERIT, stdout: INHERIT, stderr: INHERIT }

/** On a terminal, the defaults of job control and HUP; what the caller asked for is done. */
function keepTerminalSignals({ signals, givenSignals }: Settings): void {
  if (!native.contextFacts().hasTerminal) return
  for (const signal of ['SIGTTIN', 'SIGTTOU', 'SIGTSTP', 'SIGHUP'] as const) {
    if (!givenSignals.has(signal)) signals.delete(signal)
  }
}
