// daemonize(): in the launcher it starts the program again as a daemon and exits, in the daemon it returns.
import { arrive, takeArrival } from './daemon/arrival.js'
import { preload } from './daemon/preload.js'
import { register, registered, takeAdoption } from './daemon/registry.js'
import { shallDetach } from './detach-context.js'
import { OptionError } from './errors/classes.js'
import type { DaemonizeOptions, ListenMap } from './option-types.js'
import { normalise } from './options/normalise.js'
import { requireOutsideCluster } from './process/cluster.js'
import { requireMainProgram } from './process/program.js'
import { startInForeground } from './start/foreground.js'
import { type Listener, start } from './start/launcher.js'
import { failing } from './start/tell-failure.js'
import { tellOfLostRace, warnOfOthers } from './start/warnings.js'
import type { Daemon } from './types.js'

/**
 * Turns the running program into a daemon, and returns in the daemon alone.
 *
 * The process that calls it first is the *launcher*: it validates everything, starts the same program again (same
 * executable, flags, arguments) detached in a new session, waits until that one is ready or has failed, then exits 0
 * (its 'exit' listeners don't run) or throws. What stands before the call, **and every static import of the program
 * wherever it is written**, therefore runs once in the launcher and once in the daemon; to avoid it, make an entry of
 * two lines: `const daemon = daemonize(…); await (await import('./server.js')).main(daemon)`.
 *
 * Where it does not detach (`detach`), it returns at once in this process: stdin, stdout, stderr, working directory and,
 * on a terminal, the job-control signals and HUP stay as they are; all other options apply.
 * In a program started by launch() or by `daemonic start|run` it starts nothing either: what was given there wins, then
 * what this call gives; one line of the log names what was overridden.
 * A second call without options returns the same Daemon; with options it throws.
 *
 * Left uncaught, every error prints as one paragraph, and the process exits with its `exitCode`; an OptionError adds the lines
 * of the program that led to it.
 *
 * @throws OptionError         an option is wrong (nothing was started)
 * @throws AlreadyRunningError the pid file is locked; `.pid` is its owner
 * @throws SystemCallError     a system call failed; `.step`, `.syscall`, `.code`, `.path`
 * @throws StartError          the daemon ended or timed out before it was ready
 * @throws DaemonError         ERR_DAEMON_UNSUPPORTED: a worker thread, a worker of node:cluster, `node -e`, the REPL, Windows;
 *                             ERR_DAEMON_BLOCKED: another process has a read lock on the pid file
 */
export function daemonize<const L extends ListenMap = Record<never, never>>(options?: DaemonizeOptions<L>): Daemon<L> {
  return daemonizeTelling(options)
}

/** Does what daemonize() does; `tell` hears of a daemon that was started, in the launcher. */
export function daemonizeTelling<const L extends ListenMap>(options?: DaemonizeOptions<L>, tell?: Listener): Daemon<L> {
  const running = registered()
  const adopt = takeAdoption()
  if (running && !adopt) {
    if (options === undefined) return running as Daemon<L>
    throw new OptionError('options', 'daemonize() was called before in this process: a second call takes no options')
  }
  if (running) {
    adopt?.((options ?? {}) as DaemonizeOptions)
    return running as Daemon<L>
  }
  const daemon = becomeDaemon(options as DaemonizeOptions, tell)
  register(daemon)
  return daemon as Daemon<L>
}

function becomeDaemon(options: DaemonizeOptions | undefined, tell: Listener | undefined): Daemon {
  requireMainProgram()
  const arrival = takeArrival()
  const settings = normalise(options, arrival !== null)
  if (arrival) return arrive(settings, arrival)
  const detaches = shallDetach(settings.detach)
  requireOutsideCluster({
    startsAgain: detaches || settings.supervision !== null,
    takesOwn: settings.pidFile !== null || settings.listen.length > 0,
  })
  const before = warnOfOthers(settings)
  try {
    return detaches ? start(settings, tell) : startInForeground(settings)
  } catch (error) {
    tellOfLostRace(settings, before, error)
    failing(error)
  }
}

// The preload loads this bundle and looks for its function here: an export would be public.
Object.defineProperty(daemonize, Symbol.for('daemonic.preload'), { value: preload })
