// What the core starts, made of the settings and the program.
import type { Plan, StreamPlan } from '#native'
import type { Given, Note } from './arrival.js'
import { DaemonError } from './errors.js'
import type { Log } from './logs.js'
import type { Settings } from './options.js'
import type { Program } from './program.js'
import { pathsOf } from './sockets.js'
import { type Known, knownOf, type LaunchRecord, stateFiles } from './state.js'

/** What a start by launch() has beyond one by daemonize(). */
export interface Launching {
  given: Given
  record: LaunchRecord
}

export function planOf(settings: Settings, program: Program, launching?: Launching): Plan {
  const { name, pidFile, stdin, stdout, stderr, listen, limits, environment, preserve } = settings
  const { nice, oomScoreAdjust, noNewPrivileges } = settings
  const { user = process.geteuid?.(), group = process.getegid?.() } = settings.identity.change
  const isOther = user !== process.geteuid?.() || group !== process.getegid?.()
  const logs = logsOf(settings)
  const paths = pathsOf(listen)
  const note: Note = { name, pidFile: pidFile?.path ?? null, logs, paths, given: launching?.given ?? null }
  return {
    program: program.path,
    arguments: program.arguments,
    directory: program.directory,
    environment,
    note: JSON.stringify(note),
    outlivesLauncher: launching !== undefined,
    ...(pidFile && filesOf(pidFile, knownOf(settings, program, logs, launching?.record))),
    stdin,
    stdout,
    stderr,
    listen,
    limits,
    preserve,
    ...(isOther && user !== undefined && group !== undefined && { owner: { user, group } }),
    ...(nice !== undefined && { nice }),
    ...(oomScoreAdjust !== undefined && { oomScoreAdjust }),
    noNewPrivileges,
  }
}

/** The same under the supervisor: with `monitor` or `workers`, and every program that isn't Node's. */
export function supervisedPlanOf(_settings: Settings, _program: Program, _launching?: Launching): Plan {
  throw new DaemonError(
    'monitor, workers and programs of other languages need the supervisor',
    'ERR_DAEMON_UNSUPPORTED',
  )
}

function filesOf(pidFile: NonNullable<Settings['pidFile']>, known: Known): Pick<Plan, 'pidFile' | 'state'> {
  const [path, draft] = stateFiles(pidFile.path)
  return { pidFile: { ...pidFile, companions: [path, draft] }, state: { path, draft, text: JSON.stringify(known) } }
}

export function logsOf({ stdout, stderr }: Settings): Log[] {
  const log = (fd: number, { path, mode = 0 }: StreamPlan) => (path === undefined ? [] : [{ fd, path, mode }])
  return [...log(1, stdout), ...log(2, stderr)]
}
