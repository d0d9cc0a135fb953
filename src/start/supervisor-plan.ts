// The native supervisor's configuration: the settings in the words of crates/supervisor/src/config.rs.
import { lstatSync } from 'node:fs'
import type { ListenPlan, NamedAddress, Plan, SupervisorPlan } from '#native'
import { supervisorPath } from '../binding/addon.js'
import type { Note } from '../daemon/note.js'
import { OptionError } from '../errors/classes.js'
import type { Settings } from '../options/settings.js'
import { inWholeUnits, type Supervision } from '../options/supervision.js'
import { decidedBy } from '../options/table.js'
import { isTold } from '../options/verbosity.js'
import type { Program } from '../process/program.js'
import { controlPath } from '../running/paths.js'
import { stateFiles } from '../running/state-file.js'
import { codeOf } from './program-code.js'

/** Milliseconds that the launcher waits beyond startTimeout, for the supervisor to say why it failed. */
const LAUNCHER_PATIENCE = 2_000

/** Milliseconds to wait for readiness: longer than the supervisor does, which knows what worker is late and what it wrote. */
export function launcherTimeout({ startTimeout }: Settings, { supervisor }: Plan): number {
  return startTimeout + (supervisor ? LAUNCHER_PATIENCE : 0)
}

/**
 * Makes the supervisor's part of a plan.
 * @throws OptionError its control socket would take the place of a socket of `listen`, or of somebody's file
 */
export function supervisorPlan(
  settings: Settings,
  supervision: Supervision,
  program: Program,
  note: Note,
): SupervisorPlan {
  const { loadsLibrary = true } = program
  const { path, arguments: args, directory } = program
  const { name, title, pidFile, resources, preserve } = settings
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
    title,
    executable: supervisorPath(),
    program: { path, arguments: args, directory },
    code: codeOf(program, settings),
    identity: settings.identity.change,
    foreign: loadsLibrary ? null : foreignContext(settings),
    ready: readinessOf(settings),
    // The supervisor has the pid file, not the worker.
    note: { ...note, pidFile: null, workers: supervision.workers, watchdog: supervision.watchdog },
    pidFile: pidFile && { path: pidFile.path, companions: stateFiles(pidFile.path) },
    control,
    sockets: socketsToBind(settings).map(({ fd, ...socket }) => ({ ...socket, passed: fd !== undefined })),
    logs: note.logs,
    resources,
    preserve,
    supervision: inWholeUnits(supervision),
    startTimeout: Math.ceil(settings.startTimeout),
    stopTimeout: Math.ceil(settings.stopTimeout),
    endsIdle: settings.idleTimeout !== null,
    open: openOptions(note),
    outlivesLauncher: note.given !== null,
    // 1 logs from `debug` on.
    verbosity: isTold('debug', settings.environment) ? 1 : 0,
  }
  return { executable: supervisorPath(), config: JSON.stringify(config) }
}

/** What whoever started the daemon left to the program's own call; nothing where that call itself starts it. */
function openOptions({ given }: Note): Record<'identity' | 'supervision' | 'stopTimeout' | 'idleTimeout', boolean> {
  const isOpen = (...names: string[]) => given !== null && !names.some(name => given.keys.includes(name))
  return {
    identity: isOpen(...decidedBy('identity')),
    supervision: isOpen(...decidedBy('supervision')),
    stopTimeout: isOpen('stopTimeout'),
    idleTimeout: isOpen('idleTimeout'),
  }
}

/** Refuses a control path where anything but a socket lies: it is somebody's file, and would be removed with the daemon. */
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
  if (ready.startsWith('fd=')) return { fd: Number(ready.slice(3)) }
  return ready === 'loaded' ? 'auto' : ready
}

/** Gives the addresses at which the program itself will listen, so that it is ready once they answer. */
export function addressesToAwait({ ready, listen }: Settings): NamedAddress[] {
  return ready === 'port' ? listen.map(socket => ({ name: socket.name, address: addressOf(socket) })) : []
}

function addressOf({ host = '', port, path }: ListenPlan): string {
  return path ?? `${bracketed(host)}:${port}`
}

/** A host as part of an address. None stands for every interface, of which the loopback one is asked. */
function bracketed(host: string): string {
  return host.includes(':') ? `[${host}]` : host || 'localhost'
}

/** Gives the sockets that are bound for the program: none where it binds them itself, and is ready once they answer. */
export function socketsToBind({ ready, listen }: Settings): Settings['listen'] {
  return ready === 'port' ? [] : listen
}

/** What the supervisor applies, besides the identity, before the exec of a program that does not load this library. */
function foreignContext({ umask, chdir }: Settings): object {
  return { umask: umask === false ? null : umask, directory: chdir === false ? null : chdir }
}
