// What the native supervisor is told: the settings, in the words of crates/supervisor/src/config.rs.
import { lstatSync } from 'node:fs'
import type { ListenPlan, NamedAddress, OwnerPlan, Plan, SupervisorPlan } from '#native'
import { supervisorPath } from '../binding/addon.js'
import type { Note } from '../daemon/note.js'
import { OptionError } from '../errors/classes.js'
import type { Settings } from '../options/settings.js'
import { inWholeUnits, type Supervision } from '../options/supervision.js'
import { type Program, throughLinks } from '../process/program.js'
import { controlPath } from '../running/paths.js'
import { stateFiles } from '../running/state-file.js'

/** Milliseconds. */
const LAUNCHER_PATIENCE = 2_000

/** How long to wait for readiness: longer than a supervisor does, which knows which worker is late and what it wrote. */
export function patience({ startTimeout }: Settings, { supervisor }: Plan): number {
  return startTimeout + (supervisor ? LAUNCHER_PATIENCE : 0)
}

export function supervisorPlan(
  settings: Settings,
  supervision: Supervision,
  program: Program,
  note: Note,
  owner: OwnerPlan | undefined,
): SupervisorPlan {
  const { isOurs = true } = program
  const { path, arguments: args, directory } = throughLinks(program)
  const { name, pidFile, resources, preserve } = settings
  const control = pidFile && controlPath(pidFile.path)
  const conflict = settings.listen.find(socket => socket.path !== undefined && socket.path === control)
  if (conflict) {
    const option = `listen.${conflict.name}`
    throw new OptionError(
      option,
      `The \`${option}\` option names ${control}, the supervisor’s own control socket: give it another name`,
    )
  }
  requireRoomFor(control)
  const config = {
    name,
    executable: supervisorPath(),
    program: { path, arguments: args, directory },
    foreign: isOurs ? null : foreignContext(settings),
    ready: readinessOf(settings),
    // The supervisor has the pid file, not the worker.
    note: { ...note, pidFile: null, workers: supervision.workers, watchdog: supervision.watchdog },
    pidFile: pidFile && { path: pidFile.path, companions: stateFiles(pidFile.path) },
    control,
    sockets: bound(settings).map(({ fd: _, ...socket }) => socket),
    logs: note.logs,
    owner,
    resources,
    preserve,
    supervision: inWholeUnits(supervision),
    startTimeout: Math.ceil(settings.startTimeout),
    stopTimeout: Math.ceil(settings.stopTimeout),
    endsIdle: settings.idleTimeout !== null,
    outlivesLauncher: note.given !== null,
    verbosity: verbosityOf(settings),
  }
  return { executable: supervisorPath(), config: JSON.stringify(config) }
}

/** What is no socket there is somebody's file, and would go with the daemon. */
function requireRoomFor(control: string | null): void {
  const there = control === null ? undefined : lstatSync(control, { throwIfNoEntry: false })
  if (there === undefined || there.isSocket()) return
  throw new OptionError(
    'pidFile',
    `${control} is in the way of the supervisor’s control socket: move it, or give \`pidFile\` another path`,
  )
}

function readinessOf({ ready, listen }: Settings): object | string {
  if (ready === 'port') return { port: listen.map(addressOf) }
  return ready.startsWith('fd=') ? { fd: Number(ready.slice(3)) } : ready
}

/** The addresses at which the program itself will listen. */
export function awaited({ ready, listen }: Settings): NamedAddress[] {
  return ready === 'port' ? listen.map(socket => ({ name: socket.name, address: addressOf(socket) })) : []
}

function addressOf({ host = '', port, path }: ListenPlan): string {
  return path ?? `${bracketed(host)}:${port}`
}

/** Nothing given: every interface, of which the loopback one is asked. */
function bracketed(host: string): string {
  return host.includes(':') ? `[${host}]` : host || 'localhost'
}

/** The sockets that we bind: not those that the program binds itself, and answers at. */
export function bound({ ready, listen }: Settings): Settings['listen'] {
  return ready === 'port' ? [] : listen
}

/** What is set before the exec of a program that never heard of us. */
function foreignContext({ identity, umask, chdir }: Settings): object {
  return { ...identity.change, umask: umask === false ? null : umask, directory: chdir === false ? null : chdir }
}

/** 0: info. The command's -v says so by this variable. */
function verbosityOf({ environment }: Settings): number {
  const given = environment.find(({ name }) => name === 'DAEMONIC_LOG')
  return ['debug', 'trace'].includes((given ? given.value : process.env.DAEMONIC_LOG) ?? '') ? 1 : 0
}
