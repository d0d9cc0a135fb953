// The plan of a start, which the core carries out: made of the settings and the program.
import { readFileSync } from 'node:fs'
import type { NamedAddress, Plan, StreamPlan } from '#native'
import { supervisorPath } from '../binding/addon.js'
import type { Log } from '../daemon/log-files.js'
import { type Given, NOTE_FORMAT, type Note } from '../daemon/note.js'
import { pathsOf } from '../daemon/sockets.js'
import type { Settings } from '../options/settings.js'
import { type Program, throughLinks } from '../process/program.js'
import { type ServiceUnit, serviceUnit } from '../process/service-unit.js'
import { VERSION } from '../process/version.js'
import { controlPath } from '../running/paths.js'
import { type Known, killedDaemon, type LaunchRecord, requireRoomForState, stateFiles } from '../running/state-file.js'
import { knownOf } from './known.js'
import { checkCode } from './program-code.js'
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
  if (supervision) checkCode(settings, supervision, throughLinks(program))
  const { name, pidFile, stdin, stdout, stderr, listen, resources, environment, preserve } = settings
  const { user = process.geteuid?.(), group = process.getegid?.(), groups = [] } = settings.identity.change
  const isOther = user !== process.geteuid?.() || group !== process.getegid?.()
  const owner = isOther && user !== undefined && group !== undefined ? { user, group, groups } : undefined
  const logs = logsOf(settings)
  const invocation = supervision && pidFile && !foreground ? newId() : null
  const paths = pathsOf(listen)
  const note: Note = {
    ...{ format: NOTE_FORMAT, version: VERSION },
    ...{ name, pidFile: pidFile?.path ?? null, logs, paths, given: launching?.given ?? null, foreground },
  }
  return {
    executable: supervisorPath(),
    program: program.path,
    arguments: program.arguments,
    directory: program.directory,
    environment: invocation === null ? environment : [...environment, { name: INVOCATION, value: invocation }],
    note: JSON.stringify(note),
    outlivesLauncher: note.given !== null,
    ...((!launching || launching.hints) && { hintsAs: name }),
    ...(pidFile &&
      filesOf(
        pidFile,
        {
          ...knownOf(settings, program, supervision !== null, logs, launching?.record, starterOf(launching)),
          ...(invocation !== null && { invocation, user: user ?? 0 }),
        },
        addressesToAwait(settings),
      )),
    stdin,
    stdout,
    stderr,
    listen: socketsToBind(settings),
    resources,
    preserve,
    ...(owner && { owner }),
    ...(supervision && { supervisor: supervisorPlan(settings, supervision, throughLinks(program), note) }),
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
  const killed = killedDaemon(pidFile.path)
  const state = { path, draft, text: JSON.stringify(known), addresses, addsSession: known.invocation !== undefined }
  return { pidFile: { ...pidFile, companions, ...(killed && { killed }) }, state }
}

/** The variable by which the processes of one start are known: crates/core/src/remnants.rs looks for it. */
const INVOCATION = 'DAEMONIC_INVOCATION_ID'

/** Gives an id that no other start has: random(4). Null where the system has none to give. */
function newId(): string | null {
  try {
    return readFileSync('/proc/sys/kernel/random/uuid', 'utf8').trim()
  } catch {
    return null
  }
}

/** Lists the logs among the standard outputs. */
function logsOf({ stdout, stderr }: Settings): Log[] {
  const log = (fd: number, { path, mode = 0 }: StreamPlan) => (path === undefined ? [] : [{ fd, path, mode }])
  return [...log(1, stdout), ...log(2, stderr)]
}
