// The plan of a start, which the core carries out: made of the settings and the program.
import type { NamedAddress, Plan, StreamPlan } from '#native'
import { supervisorPath } from '../binding/addon.js'
import type { Log } from '../daemon/log-files.js'
import type { Given, Note } from '../daemon/note.js'
import { pathsOf } from '../daemon/sockets.js'
import type { Settings } from '../options/settings.js'
import type { Program } from '../process/program.js'
import { type ServiceUnit, serviceUnit } from '../process/service-unit.js'
import { controlPath } from '../running/paths.js'
import { type Known, type LaunchRecord, requireRoomForState, stateFiles } from '../running/state-file.js'
import { knownOf } from './known.js'
import { supervisionFor } from './supervised.js'
import { addressesToAwait, socketsToBind, supervisorPlan } from './supervisor-plan.js'

/** What launch() knows of a start, and daemonize() does not need. */
export interface Launching {
  given: Given
  record: LaunchRecord
  /** Whether the launcher prints what a slow start waits for. */
  hints: boolean
}

/** Makes the plan; with the supervisor's where there is to be one. `foreground`: it takes the place of this very process. */
export function planOf(settings: Settings, program: Program, launching?: Launching, foreground = false): Plan {
  const supervision = supervisionFor(settings, program)
  const { name, pidFile, stdin, stdout, stderr, listen, resources, environment, preserve } = settings
  const { user = process.geteuid?.(), group = process.getegid?.() } = settings.identity.change
  const isOther = user !== process.geteuid?.() || group !== process.getegid?.()
  const owner = isOther && user !== undefined && group !== undefined ? { user, group } : undefined
  const logs = logsOf(settings)
  const paths = pathsOf(listen)
  const note: Note = { name, pidFile: pidFile?.path ?? null, logs, paths, given: launching?.given ?? null, foreground }
  return {
    executable: supervisorPath(),
    program: program.path,
    arguments: program.arguments,
    directory: program.directory,
    environment,
    note: JSON.stringify(note),
    outlivesLauncher: note.given !== null,
    ...((!launching || launching.hints) && { hintsAs: name }),
    ...(pidFile &&
      filesOf(
        pidFile,
        knownOf(settings, program, supervision !== null, logs, launching?.record, starterOf(launching)),
        addressesToAwait(settings),
      )),
    stdin,
    stdout,
    stderr,
    listen: socketsToBind(settings),
    resources,
    preserve,
    ...(owner && { owner }),
    ...(supervision && { supervisor: supervisorPlan(settings, supervision, program, note, owner) }),
  }
}

/** The unit that whoever starts the daemon is, and exits as. A program that calls launch() goes on, and is another service. */
function starterOf(launching: Launching | undefined): ServiceUnit | null {
  return launching === undefined || launching.hints ? serviceUnit() : null
}

function filesOf(
  pidFile: NonNullable<Settings['pidFile']>,
  known: Known,
  addresses: NamedAddress[],
): Pick<Plan, 'pidFile' | 'state'> {
  requireRoomForState(pidFile.path)
  const [path, draft] = stateFiles(pidFile.path)
  const companions = [path, draft, ...(known.supervised ? [controlPath(pidFile.path)] : [])]
  return { pidFile: { ...pidFile, companions }, state: { path, draft, text: JSON.stringify(known), addresses } }
}

/** Lists the logs among the standard outputs. */
function logsOf({ stdout, stderr }: Settings): Log[] {
  const log = (fd: number, { path, mode = 0 }: StreamPlan) => (path === undefined ? [] : [{ fd, path, mode }])
  return [...log(1, stdout), ...log(2, stderr)]
}
