// Where pid files and logs lie by default: in run and state directories, the system's for root, else the user's.
// DAEMONIC_RUNTIME_DIR and DAEMONIC_STATE_DIR name others.
import { accessSync, constants, lstatSync, mkdirSync, readdirSync, statSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { dirname, isAbsolute, join, resolve } from 'node:path'
import { DaemonError, during } from '../errors/classes.js'

/** The length of the hash in hexadecimal digits: 48 bits tell the few projects of one user apart. */
const HASH_LENGTH = 12

/**
 * Lists the pid files in the run directory, also those that are gone while a state file is there. Other software's files
 * may be among them.
 * @throws DaemonError EPERM: the directory is another user's
 */
export function pidFilesInRunDirectory(): string[] {
  requireTrustedRunDirectory()
  const files = readdirIfThere(runDirectory()).filter(file => /\.(pid|json)$/.test(file))
  return [...new Set(files.map(file => file.replace(/\.json$/, '.pid')))].sort().map(runPath)
}

/**
 * Returns the target of a daemon in the run directory, NAME or NAME@HASH, for stop(), status(), connect() and the
 * command. Its files there have that name too. HASH stands for `instance`, which may be any text.
 */
export function targetOf(name: string, instance?: string | null): string {
  if (instance === undefined || instance === null) return name
  const { createHash } = process.getBuiltinModule('node:crypto')
  return `${name}@${createHash('sha256').update(instance).digest('hex').slice(0, HASH_LENGTH)}`
}

/** Returns the path of a file in the run directory. */
export function runPath(file: string): string {
  return join(runDirectory(), file)
}

/** Returns the path of a daemon's default log. */
export function logPath(name: string): string {
  return logFilePath(`${name}.log`)
}

/** Returns the path of a log: one without a slash lies in the log directory. */
export function logFilePath(file: string): string {
  return file.includes('/') ? file : join(stateDirectory(), file)
}

/** Returns the pid file that `target` names: with a slash, a path; else NAME, or NAME.pid, in the run directory. */
export function targetPath(target: string): string {
  return pidFilePathOf(target.includes('/') || target.endsWith('.pid') ? target : `${target}.pid`)
}

/**
 * Returns the path of a pid file: one without a slash lies in the run directory.
 * @throws DaemonError EPERM: the run directory is another user's
 */
export function pidFilePathOf(file: string): string {
  if (file.includes('/')) return file
  requireTrustedRunDirectory()
  return runPath(file)
}

/** Returns the path of the state file beside a pid file: a.pid and a.json. */
export function statePath(pidFile: string): string {
  return `${pidFile.replace(/\.pid$/, '')}.json`
}

/** Returns the path of the supervisor's control socket beside a pid file: a.pid and a.sock. */
export function controlPath(pidFile: string): string {
  return `${pidFile.replace(/\.pid$/, '')}.sock`
}

/**
 * Creates the directory of `path` if it is the run or the state directory; any other directory must exist.
 * @throws DaemonError EPERM: the run directory is another user's
 * @throws SystemCallError the directory can't be made
 */
export function prepareDirectory(path: string): void {
  const directory = dirname(path)
  if (directory !== runDirectory() && directory !== stateDirectory()) return
  const isRoot = process.geteuid?.() === 0
  during(directory === runDirectory() ? 'pid file create' : 'log', directory, () =>
    mkdirSync(directory, { recursive: true, mode: isRoot ? 0o755 : 0o700 }),
  )
  if (directory === runDirectory()) requireTrustedRunDirectory()
}

/**
 * Refuses a run directory that is neither this user's nor root's: its owner could put any file there, and take any away.
 * In the temporary directory anyone could have made it, a link in its place included.
 */
function requireTrustedRunDirectory(): void {
  const directory = runDirectory()
  const look = directory === temporaryRunDirectory() ? lstatSync : statSync
  const found = during('chdir', directory, () => look(directory, { throwIfNoEntry: false }))
  if (!found || (found.isDirectory() && [0, process.geteuid?.()].includes(found.uid))) return
  throw new DaemonError(
    `${directory} belongs to another user: set DAEMONIC_RUNTIME_DIR, or give \`pidFile\` a path`,
    'EPERM',
  )
}

/** Returns the directory of pid files. */
export function runDirectory(): string {
  if (process.env.DAEMONIC_RUNTIME_DIR) return resolve(process.env.DAEMONIC_RUNTIME_DIR)
  if (process.geteuid?.() === 0) return '/run/daemonic'
  // Not XDG_RUNTIME_DIR: it is emptied at the user's last logout, and cron and sudo know of none.
  const state = userStateDirectory()
  return state === null ? temporaryRunDirectory() : join(state, 'run')
}

/** Returns the run directory of a user without a home. */
function temporaryRunDirectory(): string {
  return join(tmpdir(), `daemonic-${process.geteuid?.()}`)
}

/** Returns the directory of logs. */
export function stateDirectory(): string {
  if (process.env.DAEMONIC_STATE_DIR) return resolve(process.env.DAEMONIC_STATE_DIR)
  if (process.geteuid?.() === 0) return '/var/log/daemonic'
  return userStateDirectory() ?? temporaryRunDirectory()
}

/** Returns a user's own directory for what outlives a session; null without a home that it may write to, as services' users are. */
function userStateDirectory(): string | null {
  const { XDG_STATE_HOME } = process.env
  // The XDG specification has relative paths ignored.
  if (XDG_STATE_HOME && isAbsolute(XDG_STATE_HOME)) return join(XDG_STATE_HOME, 'daemonic')
  const home = homeDirectory()
  return isAbsolute(home) && isWritable(home) ? join(home, '.local', 'state', 'daemonic') : null
}

/** Returns the user's home; an empty text for one that no database knows, as in a container. */
function homeDirectory(): string {
  try {
    return homedir()
  } catch {
    return ''
  }
}

function isWritable(directory: string): boolean {
  try {
    accessSync(directory, constants.W_OK | constants.X_OK)
    return true
  } catch {
    return false
  }
}

function readdirIfThere(directory: string): string[] {
  return during('chdir', directory, () => {
    try {
      return readdirSync(directory)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
      throw error
    }
  })
}
