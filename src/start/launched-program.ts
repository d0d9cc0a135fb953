// The program that launch() executes: its file, what runs it, and with which flags.
import { constants as access, accessSync, realpathSync, statSync } from 'node:fs'
import { constants } from 'node:os'
import { basename, delimiter, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { DaemonError, OptionError, SystemCallError } from '../errors/classes.js'
import type { LaunchOptions } from '../option-types.js'
import { expected, text } from '../options/values.js'
import { preloadFlags } from '../process/preload-flag.js'
import { isSingleExecutable, type Program } from '../process/program.js'

/** What launch() executes. */
export interface LaunchedProgram extends Program {
  /** The absolute path of the program that was asked for. */
  file: string
  /** Whether the Node that runs this process runs it too, so that the preload makes a daemon of it. */
  loadsLibrary: boolean
}

/**
 * Finds the program and what runs it.
 * @throws OptionError an argument, the interpreter or its arguments are wrong
 * @throws SystemCallError ENOENT or EACCES, as exec would, before anything is started
 */
export function launchedProgram(program: unknown, options: LaunchOptions, directory: string): LaunchedProgram {
  const args = strings('args', options.args ?? [])
  const name = wordOf(program)
  if (options.interpreter === null) {
    if (options.interpreterArgs !== undefined) {
      throw new OptionError('interpreterArgs', 'The `interpreterArgs` option needs an `interpreter` to give them to')
    }
    const file = executable(name)
    return { path: file, arguments: [file, ...args], directory, file, loadsLibrary: false }
  }
  const path = options.interpreter === undefined ? thisNode() : executable(interpreterOf(options.interpreter))
  refuseTsx(path, options.listen)
  const loadsLibrary = isNode() && realpathSync(path) === realpathSync(process.execPath)
  const flags =
    options.interpreterArgs === undefined
      ? defaultFlags(loadsLibrary)
      : strings('interpreterArgs', options.interpreterArgs)
  const file = resolve(name)
  requireScript(file, loadsLibrary)
  return {
    path,
    arguments: [path, ...(loadsLibrary ? preloadFlags() : []), ...flags, file, ...args],
    directory,
    file,
    script: file,
    loadsLibrary,
  }
}

/** Gives the path or command that was asked for. @throws OptionError it is neither a string nor a file URL */
export function wordOf(program: unknown): string {
  if (!(program instanceof URL)) return text('program', program, 'a path or a file URL')
  if (program.protocol !== 'file:') throw expected('program', 'a path or a file URL', program.href)
  return fileURLToPath(program)
}

function interpreterOf(value: unknown): string {
  return text('interpreter', value, 'a path, a command or null')
}

/** @throws DaemonError ERR_DAEMON_UNSUPPORTED: it is one file with the program that runs, and runs nothing else */
function thisNode(): string {
  if (!isSingleExecutable()) return process.execPath
  throw new DaemonError(
    'launch() was called in a single executable application, which runs no other script: name what runs it, such as ' +
      "`interpreter: 'node'`, or `interpreter: null` for a program that is executed itself",
    'ERR_DAEMON_UNSUPPORTED',
  )
}

/** Refuses tsx where there are sockets: it starts Node as its child, and passes them no further. */
function refuseTsx(path: string, listen: LaunchOptions['listen'] = {}): void {
  if (basename(path) !== 'tsx' || Object.keys(listen).length === 0) return
  throw new OptionError(
    'interpreter',
    'tsx starts Node as its child, which would not get the sockets of `listen`: leave the `interpreter` option out, ' +
      "and let this Node load it by `interpreterArgs: ['--import', 'tsx']` (NODE_OPTIONS='--import tsx')",
  )
}

function strings(option: string, value: unknown): string[] {
  if (!Array.isArray(value)) throw expected(option, 'an array of strings', value)
  return value.map((each, index) => {
    if (typeof each !== 'string' || each.includes('\0'))
      throw expected(`${option}.${index}`, 'a string without NUL', each)
    return each
  })
}

/** Finds a command as execvp(3) does: one without a slash is looked up in PATH. */
function executable(name: string): string {
  if (name.includes('/')) {
    const path = resolve(name)
    asExecError(path, () => requireExecutable(path))
    return path
  }
  const directories = (process.env.PATH ?? '/usr/local/bin:/usr/bin:/bin').split(delimiter)
  const found = directories.map(directory => resolve(join(directory, name))).find(isExecutable)
  if (found === undefined) throw missing(name, 'it is in no directory of PATH')
  return found
}

function requireExecutable(path: string): void {
  accessSync(path, access.X_OK)
  if (!statSync(path).isFile()) throw Object.assign(new Error('no file'), { errno: constants.errno.EACCES })
}

function isExecutable(path: string): boolean {
  try {
    requireExecutable(path)
    return true
  } catch {
    return false
  }
}

/** Refuses a script that can't be read. Node also runs a file without its extension, and the main file of a directory. */
function requireScript(file: string, loadsLibrary: boolean): void {
  asExecError(file, () => accessSync(loadsLibrary ? resolvedScript(file) : file, access.R_OK))
}

/** Gives the file that Node runs for a script without its extension, or for a directory. */
export function resolvedScript(file: string): string {
  try {
    return process.getBuiltinModule('node:module').createRequire(file).resolve(file)
  } catch {
    return file // missing, which shows at once; or Node itself says what is wrong with it
  }
}

/** Runs a check of `path`; what it fails with is thrown as exec(2) would. */
function asExecError(path: string, action: () => void): void {
  try {
    action()
  } catch (error) {
    const { errno = 0, syscall = 'access' } = error as NodeJS.ErrnoException
    throw new SystemCallError({ step: 'exec', syscall, errno: Math.abs(errno), path })
  }
}

function missing(path: string, detail: string): SystemCallError {
  return new SystemCallError({ step: 'exec', syscall: 'access', errno: constants.errno.ENOENT, path, detail })
}

function isNode(): boolean {
  return !isSingleExecutable() && !('bun' in process.versions) && !('deno' in process.versions)
}

/** Gives those flags of this Node that a program file can be run with. */
function defaultFlags(loadsLibrary: boolean): string[] {
  if (!loadsLibrary) return []
  const { execArgv } = process
  return execArgv.filter((flag, index) => !OWN_BUSINESS.test(flag) && !TAKES_VALUE.test(execArgv[index - 1] ?? ''))
}

/** Flags of the inspector, whose port is taken by this process, and those of programs that are no files. */
const OWN_BUSINESS =
  /^(--inspect(-.*)?|--debug-port|-e|-p|-pe|--eval|--print|-i|--interactive|--input-type|-c|--check|--test|--watch(-.*)?)(=|$)/
/** Those of these flags whose value may follow as the next argument. */
const TAKES_VALUE = /^(--inspect-port|--debug-port|-e|-p|-pe|--eval|--print|--input-type|--watch-path)$/
