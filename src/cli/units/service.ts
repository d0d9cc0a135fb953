// A daemon as a service: what any service manager has to know to run it.
import { readFileSync, realpathSync } from 'node:fs'
import { dirname, isAbsolute } from 'node:path'
import { daemonsFrom, type NamedConfig } from '../config-file.js'
import type { Invocation } from '../invocation.js'
import { type Job, jobOf } from '../job.js'
import { DaemonError, readStateToExecute, type StartOptions, type State, status } from '../library.js'
import { lookAt, parseTarget, type Target } from '../targets.js'
import { flagsOf } from './flags-of.js'

/** How a service manager runs a daemon. */
export interface Service {
  name: string
  /** The command line, of which the program is an absolute path. */
  command: readonly string[]
  /** What stands behind `daemonic run` in it, the pid file first; null where the program is its own daemon. */
  run: readonly string[] | null
  directory: string
  environment: Readonly<Record<string, string>>
  environmentFiles: readonly string[]
  /** The names of variables that the running daemon has, and the service will not. */
  missing: readonly string[]
  user: string | null
  group: string | null
  /** In milliseconds. */
  stopTimeout: number
  /** What a service manager can listen on in the daemon's place. */
  sockets: readonly ServiceSocket[]
  /** Directories that the daemon writes to. */
  writes: readonly string[]
  logs: readonly string[]
  /** The pid file; null where it lies in the run directory. */
  pidFile: string | null
}

/** A listening socket as a socket unit has it. */
export interface ServiceSocket {
  /** A port, HOST:PORT, or a path. */
  address: string
  udp: boolean
}

/** Variables of a session, which no service needs. */
const OF_SESSIONS =
  /^(_|PWD|OLDPWD|SHLVL|TERM|COLORTERM|LS_COLORS|SHELL|HOME|USER|LOGNAME|MAIL|LANG|PATH|HOSTNAME|EDITOR|PAGER|DISPLAY|LC_.*|XDG_.*|SSH_.*|DBUS_.*|DAEMONIC_.*|SUDO_.*|LISTEN_.*|NOTIFY_SOCKET|npm_.*)$/

/**
 * Describes the daemon that the invocation means: one of a configuration file, or one that runs or has run.
 * @throws DaemonError ERR_DAEMON_STATE it is not known how it was started
 */
export async function servicesOf({ options, words }: Invocation): Promise<Service[]> {
  const config = options.get<string>('config')
  const files = options.all<string>('env-file')
  if (config !== undefined) return (await daemonsFrom(config, words)).map(each => ofConfig(each, files))
  const services: Service[] = []
  for (const word of words) services.push(await ofTarget(parseTarget(word), files))
  return services
}

function ofConfig(config: NamedConfig, files: readonly string[]): Service {
  const job = jobOf(config, {}, 'run')
  return launched(job, job.name, process.cwd(), files, [])
}

async function ofTarget(target: Target, files: readonly string[]): Promise<Service> {
  const state = readStateToExecute(target.path)
  if (!state) {
    throw new DaemonError(
      `${target.name}: how it is started is not known: start it once by \`daemonic start\`, or give --config FILE`,
      'ERR_DAEMON_STATE',
    )
  }
  const variables = await variablesOf(target, state)
  if (state.launch) {
    const { program, options } = state.launch
    const job = { name: state.name, program, options: options as StartOptions }
    return launched(job, state.name, state.directory, files, variables)
  }
  const { name, arguments: command, directory, stopTimeout, logs, addresses } = state
  const environment = { PATH: process.env.PATH ?? '' }
  return {
    name,
    command: [absolute(command[0] ?? ''), ...command.slice(1)],
    run: null,
    directory,
    environment,
    environmentFiles: files,
    missing: missingOf(variables, environment, files),
    user: null,
    group: null,
    stopTimeout,
    sockets: Object.values(addresses).map(address => ({ address, udp: false })),
    writes: [directory, dirname(target.path)].filter(isWritten),
    logs,
    pidFile: target.path,
  }
}

function launched(
  { program, options }: Job,
  name: string,
  directory: string,
  files: readonly string[],
  variables: readonly string[],
): Service {
  const { user, group, env = {}, stopTimeout = 25_000, listen = {} } = options
  const environment = { PATH: process.env.PATH ?? '', ...given(env as Record<string, string | null | undefined>) }
  const chdir = typeof options.chdir === 'string' ? options.chdir : directory
  const logs = [options.log, options.stdout, options.stderr].filter((log): log is string => isPath(log))
  const pidFile = pidFileOf(options, name)
  const run = [`--pid-file=${pidFile}`, ...flagsOf(program, name, options)]
  const text = (value: unknown) => (value === undefined || value === null ? null : String(value))
  return {
    name,
    command: [process.execPath, realpathSync(process.argv[1] ?? ''), 'run', ...run],
    run,
    directory: chdir,
    environment,
    environmentFiles: files,
    missing: missingOf(variables, environment, files),
    user: text(user),
    group: text(group),
    stopTimeout,
    sockets: Object.values(listen).flatMap(socketOf),
    writes: [...new Set([chdir, dirname(program), ...[...logs, pidFile].map(file => dirname(file))])].filter(isWritten),
    logs,
    pidFile: isAbsolute(pidFile) ? pidFile : null,
  }
}

/** The path of the pid file, or its name in the run directory. A user of its own has a run directory of the unit's. */
function pidFileOf({ pidFile, user }: StartOptions, name: string): string {
  const given = typeof pidFile === 'object' ? pidFile.path : pidFile
  if (typeof given === 'string' && given.includes('/')) return given
  const file = typeof given === 'string' ? given : `${name}.pid`
  return user === undefined ? file : `/run/${name}/${file}`
}

/** Whether a daemon may write to that directory of its own: programs of the system lie in some where none has to. */
function isWritten(directory: string): boolean {
  return isAbsolute(directory) && !/^\/((usr|bin|sbin|lib\w*|etc|opt|run)(\/|$)|$)/.test(directory)
}

function socketOf(target: unknown): ServiceSocket[] {
  if (typeof target === 'number') return target === 0 ? [] : [{ address: String(target), udp: false }]
  if (typeof target === 'string')
    return /(^|:)0$/.test(target) ? [] : [{ address: target.replace(/^:/, ''), udp: false }]
  return [] // with options of its own the daemon binds it itself
}

function given(env: Readonly<Record<string, string | null | undefined>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(env).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  )
}

/** Lists the variables that the daemon's process has: a supervisor's worker, since its own title lies over them. */
async function variablesOf({ path }: Target, { supervised }: State): Promise<string[]> {
  const { pid } = lookAt(path)
  if (pid === null) return []
  try {
    const process = supervised ? ((await status(path)).workers[0]?.pid ?? pid) : pid
    const text = readFileSync(`/proc/${process}/environ`, 'utf8')
    return text.split('\0').map(variable => variable.split('=')[0] ?? '')
  } catch {
    return [] // another user's, or there is no /proc
  }
}

function missingOf(variables: readonly string[], environment: object, files: readonly string[]): string[] {
  if (files.length > 0) return []
  return variables.filter(name => name !== '' && !(name in environment) && !OF_SESSIONS.test(name)).toSorted()
}

function isPath(value: unknown): boolean {
  return typeof value === 'string' && value.startsWith('/')
}

/** Finds a program in PATH, as execvp(3) would. */
function absolute(program: string): string {
  return program.includes('/') ? program : program === 'node' ? process.execPath : `/usr/bin/${program}`
}
