// One call: the launcher starts the program again as a daemon and ends; in the daemon the call returns.
import { existsSync } from 'node:fs'
import { constants } from 'node:os'
import type { Arrival, Outcome, Plan, StreamPlan } from '#native'
import { closeInspector, shallDetach } from './context.js'
import { RunningDaemon } from './daemon.js'
import { AlreadyRunningError, DaemonError, during, OptionError, StartError, SystemCallError } from './errors.js'
import type { Log } from './logs.js'
import { checked, done, native } from './native.js'
import { normalise, type Settings } from './options.js'
import { keepOutputWhole, leave } from './output.js'
import { prepareDirectory, statePath } from './paths.js'
import { PidLock } from './pid-lock.js'
import { type Program, requireMainProgram, sameProgram } from './program.js'
import { listenHere, removeFilesAtExit, takeSockets } from './sockets.js'
import { removeState, stateFiles, writeState } from './state.js'
import type { Daemon, DaemonizeOptions, ListenMap } from './types.js'
import { throwReadably } from './uncaught.js'

/** What the launcher decided and the daemon needs to know: the marker's note. */
interface Note {
  name: string
  pidFile: string | null
  logs: Log[]
}

/** One daemon a process, also where two copies of this library are loaded. */
const DAEMON = Symbol.for('daemonic.daemon')
const registry = globalThis as { [DAEMON]?: Daemon }

// Read when the library is loaded: the program may change its directory and clean its environment before the call.
const startDirectory = currentDirectory()
const marker = process.env.DAEMONIC_START
if (marker === undefined) keepOutputWhole()

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
 * A second call without options returns the same Daemon; with options it throws.
 *
 * Left uncaught, every error but OptionError prints as one paragraph without a stack, and its `exitCode` becomes ours.
 *
 * @throws OptionError         an option is wrong (nothing was started)
 * @throws AlreadyRunningError the pid file is locked; `.pid` is its owner
 * @throws SystemCallError     a system call failed; `.step`, `.syscall`, `.code`, `.path`
 * @throws StartError          the daemon ended or timed out before it was ready
 * @throws DaemonError         ERR_DAEMON_UNSUPPORTED: a worker thread, `node -e`, the REPL, Windows
 */
export function daemonize<const L extends ListenMap = Record<never, never>>(options?: DaemonizeOptions<L>): Daemon<L> {
  const running = registry[DAEMON]
  if (running) {
    if (options === undefined) return running as Daemon<L>
    throw new OptionError('options', 'daemonize() was called before in this process: a second call takes no options')
  }
  try {
    const daemon = become(options as DaemonizeOptions)
    registry[DAEMON] = daemon
    return daemon as Daemon<L>
  } catch (error) {
    if (error instanceof DaemonError) throwReadably(error)
    throw error
  }
}

function become(options: DaemonizeOptions | undefined): Daemon {
  requireMainProgram()
  const arrival = marker === undefined ? null : native.arrive(marker)
  const settings = normalise(options, arrival !== null)
  if (arrival) return arrive(settings, arrival)
  warnOfOverwriting(settings)
  if (shallDetach(settings.detach)) return start(settings)
  return stay(settings)
}

function warnOfOverwriting({ name, pidFile }: Settings): void {
  if (!pidFile?.overwrite) return
  const { state, pid } = PidLock.inspect(pidFile.path)
  if (state === 'absent' || state === 'free') return
  console.error(
    `${name}: warning: taking over ${pidFile.path} from ${pid === null ? 'a start' : `pid ${pid}`}, which goes on`,
  )
}

// ── The launcher ─────────────────────────────────────────────────────────────────────────

function start(settings: Settings): never {
  const program = sameProgram()
  closeInspector()
  for (const path of [settings.pidFile?.path, settings.stdout.path, settings.stderr.path]) {
    if (path) prepareDirectory(path)
  }
  const outcome = naming(settings, () => {
    const start = checked(native.begin(planOf(settings, program)))
    if (settings.pidFile) {
      const addresses = Object.fromEntries(
        settings.listen.map(({ name }, index) => [name, start.addresses[index] ?? '']),
      )
      writeState(settings.pidFile.path, stateOf(settings, start.pid, addresses))
    }
    return checked(start.wait(settings.startTimeout))
  })
  if (outcome.kind === 'ready') {
    // It may have done its work and gone before the state was written.
    if (settings.pidFile && !existsSync(settings.pidFile.path)) removeState(settings.pidFile.path)
    leave(0)
  }
  throw startError(settings, outcome)
}

function planOf(settings: Settings, program: Program): Plan {
  const { name, pidFile, stdin, stdout, stderr, listen, limits, environment } = settings
  const note: Note = { name, pidFile: pidFile?.path ?? null, logs: logsOf(settings) }
  return {
    program: program.path,
    arguments: program.arguments,
    directory: requireStartDirectory(),
    environment,
    note: JSON.stringify(note),
    ...(pidFile && { pidFile: { ...pidFile, companions: stateFiles(pidFile.path) } }),
    stdin,
    stdout,
    stderr,
    listen,
    limits,
  }
}

function logsOf({ stdout, stderr }: Settings): Log[] {
  const log = (fd: number, { path, mode = 0 }: StreamPlan) => (path === undefined ? [] : [{ fd, path, mode }])
  return [...log(1, stdout), ...log(2, stderr)]
}

function stateOf(settings: Settings, pid: number, addresses: Record<string, string>) {
  const logs = [...new Set(logsOf(settings).map(log => log.path))]
  const { name, stopTimeout } = settings
  const command = { arguments: process.argv, directory: requireStartDirectory() }
  return { version: 1 as const, name, pid, ...command, logs, addresses, stopTimeout, startedAt: Date.now() }
}

/** Adds the daemon's name, and which output a log is for, to errors that come from below. */
function naming<T>({ name, stdout, stderr }: Settings, action: () => T): T {
  try {
    return action()
  } catch (error) {
    if (error instanceof AlreadyRunningError) throw new AlreadyRunningError(error.path, error.pid, name)
    if (error instanceof SystemCallError && error.step === 'log' && error.path) {
      const outputs = Object.entries({ stdout, stderr }).filter(([, stream]) => stream.path === error.path)
      error.message = error.message.replace(error.path, `${error.path} (${outputs.map(([key]) => key).join(', ')})`)
    }
    throw error
  }
}

function startError({ name, startTimeout }: Settings, { kind, exitCode, signal, stderr }: Outcome): StartError {
  const number = (each: string) => constants.signals[each as NodeJS.Signals]
  const early = `${name}: the daemon %s before it was ready`
  if (kind === 'timeout') {
    const message = `${name}: the daemon was not ready after ${startTimeout} ms and was ended`
    return new StartError(message, { exitCode: 124, stderr, late: true })
  }
  if (kind === 'interrupted' && signal) {
    const outcome = { exitCode: 128 + number(signal), signal: signal as NodeJS.Signals, stderr }
    return new StartError(`${name}: the start was interrupted by ${signal}`, outcome)
  }
  if (kind === 'ended' && signal) {
    const outcome = { exitCode: 128 + number(signal), signal: signal as NodeJS.Signals, stderr }
    return new StartError(early.replace('%s', `was killed by ${signal}`), outcome)
  }
  if (kind === 'ended') {
    return new StartError(early.replace('%s', `exited with ${exitCode}`), { exitCode: exitCode || 1, stderr })
  }
  return new StartError(`${name}: the process between launcher and daemon was killed, and the daemon with it`, {
    exitCode: 1,
    stderr,
  })
}

// ── The daemon ───────────────────────────────────────────────────────────────────────────

function arrive(settings: Settings, arrival: Arrival): Daemon {
  const note: Note = JSON.parse(arrival.note)
  try {
    const sockets = takeSockets()
    delete process.env.DAEMONIC_START
    removeFilesAtExit(sockets)
    done(arrival.takeStreams())
    const file = note.pidFile === null ? null : arrival.pidFile(note.pidFile)
    const pidFile = file && note.pidFile !== null ? PidLock.of(checked(file), [statePath(note.pidFile)]) : null
    const { chdir, umask } = settings
    if (chdir !== false) during('chdir', chdir, () => process.chdir(chdir))
    if (umask !== false) process.umask(umask)
    process.title = settings.name
    return new RunningDaemon({
      settings,
      startDirectory: requireStartDirectory(),
      pidFile,
      sockets,
      logs: note.logs,
      arrival,
    })
  } catch (error) {
    if (error instanceof SystemCallError) arrival.fail(error.step, error.errno, error.path)
    throw error
  }
}

// ── The foreground ───────────────────────────────────────────────────────────────────────

function stay(settings: Settings): Daemon {
  const { name, pidFile: file, umask, environment, limits } = settings
  if (file) prepareDirectory(file.path)
  const pidFile =
    file &&
    naming(settings, () =>
      PidLock.of(checked(native.acquirePidFile(file.path, file.mode, file.overwrite)), [statePath(file.path)]),
    )
  try {
    const sockets = listenHere(settings.listen)
    done(native.applyLimits(limits))
    for (const { name, value } of environment) {
      if (value === undefined) delete process.env[name]
      else process.env[name] = value
    }
    if (umask !== false) process.umask(umask)
    process.title = name
    keepTerminalSignals(settings)
    if (pidFile) {
      const addresses = Object.fromEntries(Object.entries(sockets).map(([key, { address }]) => [key, address]))
      writeState(pidFile.path, stateOf(settings, process.pid, addresses))
    }
    return new RunningDaemon({
      settings,
      startDirectory: requireStartDirectory(),
      pidFile,
      sockets,
      logs: [],
      arrival: null,
    })
  } catch (error) {
    pidFile?.release()
    throw error
  }
}

function keepTerminalSignals({ signals }: Settings): void {
  if (!native.contextFacts().hasTerminal) return
  for (const signal of ['SIGTTIN', 'SIGTTOU', 'SIGTSTP', 'SIGHUP'] as const) signals.delete(signal)
}

/** Null if it has been removed. */
function currentDirectory(): string | null {
  try {
    return process.cwd()
  } catch {
    return null
  }
}

/** The daemon is executed in the launcher's start directory, for relative flags and imports. */
function requireStartDirectory(): string {
  if (startDirectory !== null) return startDirectory
  const detail = 'the directory where it was started has been removed: change to one that exists'
  throw new SystemCallError({ step: 'chdir', syscall: 'getcwd', errno: constants.errno.ENOENT, detail })
}
