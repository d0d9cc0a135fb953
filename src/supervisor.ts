// What the native supervisor is told: the settings, in the words of crates/supervisor/src/config.rs.
import type { LimitPlan, OwnerPlan, SupervisorPlan } from '#native'
import type { Note } from './arrival.js'
import { supervisorPath } from './native.js'
import type { Settings } from './options.js'
import { controlPath } from './paths.js'
import type { Program } from './program.js'
import { stateFiles } from './state.js'
import type { Supervision } from './supervision.js'

/** Milliseconds that the launcher waits longer than the supervisor, which knows which worker is late and what it wrote. */
export const LAUNCHER_PATIENCE = 2_000

export function supervisorPlan(
  settings: Settings,
  supervision: Supervision,
  { path, arguments: args, directory }: Program,
  note: Note,
  owner: OwnerPlan | undefined,
): SupervisorPlan {
  const { name, pidFile, listen, limits, nice, oomScoreAdjust, noNewPrivileges, preserve } = settings
  const config = {
    name,
    executable: supervisorPath(),
    program: { path, arguments: args, directory },
    ready: 'auto',
    // The supervisor has the pid file, not the worker.
    note: { ...note, pidFile: null, workers: supervision.workers, watchdog: supervision.watchdog },
    pidFile: pidFile && { path: pidFile.path, companions: stateFiles(pidFile.path) },
    control: pidFile && controlPath(pidFile.path),
    sockets: listen.map(({ fd: _, ...socket }) => socket),
    logs: note.logs,
    owner,
    limits: limits.map(wholeLimit),
    nice,
    oomScoreAdjust,
    noNewPrivileges,
    preserve,
    supervision: { ...supervision, ...wholeTimes(supervision) },
    startTimeout: Math.ceil(settings.startTimeout),
    stopTimeout: Math.ceil(settings.stopTimeout),
    endsIdle: settings.idleTimeout !== null,
    verbosity: 0,
  }
  return { executable: supervisorPath(), config: JSON.stringify(config) }
}

function wholeTimes({ maxDelay, steadyAfter, watchdog }: Supervision): Partial<Supervision> {
  return {
    maxDelay: Math.ceil(maxDelay),
    steadyAfter: Math.ceil(steadyAfter),
    watchdog: watchdog === null ? null : Math.ceil(watchdog),
  }
}

function wholeLimit({ resource, soft, hard }: LimitPlan): LimitPlan {
  return { resource, ...(soft !== undefined && { soft }), ...(hard !== undefined && { hard }) }
}
