// What launch() is to execute: the program, what runs it, and its flags.
import { constants as access, accessSync, realpathSync, statSync } from 'node:fs'
import { constants } from 'node:os'
import { delimiter, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { preloadFlags } from '../daemon/preload.js'
import { OptionError, SystemCallError } from '../errors/classes.js'
import { expected, text } from '../options/values.js'
import type { Program } from '../process/program.js'
import type { LaunchOptions } from '../types.js'

export interface LaunchedProgram extends Program {
  /** The absolute path of what was asked for. */
  file: string
  /** Whether our own Node runs it, so that a preload makes a daemon of it. */
  isOurs: boolean
}

/** @throws SystemCallError ENOENT or EACCES, as exec would, before anything is started */
export function launchedProgram(program: unknown, options: LaunchOptions, directory: string): LaunchedProgram {
  const args = strings('args', options.args ?? [])
  const name = wordOf(program)
  if (options.interpreter === null) {
    if (options.interpreterArgs !== undefined) {
      throw new OptionError('interpreterArgs', 'The `interpreterArgs` option needs an `interpreter` to give them to')
    }
    const file = executable(name)
    return { path: file, arguments: [file, ...args], directory, file, isOurs: false }
  }
  const path = options.interpreter === undefined ? process.execPath : executable(interpreterOf(options.interpreter))
  const isOurs = isNode() && realpathSync(path) === realpathSync(process.execPath)
  const flags =
    options.interpreterArgs === undefined ? defaultFlags(isOurs) : strings('interpreterArgs', options.interpreterArgs)
  const file = resolve(name)
  requireScript(file, isOurs)
  return {
    path,
    arguments: [path, ...(isOurs ? preloadFlags() : []), ...flags, file, ...args],
    directory,
    file,
    isOurs,
  }
}

/** The path or command that was asked for. */
export function wordOf(program: unknown): string {
  if (!(program instanceof URL)) return text('program', program, 'a path or a file URL')
  if (program.protocol !== 'file:') throw expected('program', 'a path or a file URL', program.href)
  return fileURLToPath(program)
}

function interpreterOf(value: unknown): string {
  return text('interpreter', value, 'a path, a command or null')
}

function strings(option: string, value: unknown): string[] {
  if (!Array.isArray(value)) throw expected(option, 'an array of strings', value)
  return value.map((each, index) => {
    if (typeof each !== 'string' || each.includes('\0'))
      throw expected(`${option}.${index}`, 'a string without NUL', each)
    return each
  })
}

/** As execvp(3) finds it: what has no slash is looked up in PATH. */
function executable(name: string): string {
  if (name.includes('/')) {
    const path = resolve(name)
    attempt(path, () => requireExecutable(path))
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

/** Node finds a file without its extension, and the main file of a directory. */
function requireScript(file: string, isOurs: boolean): void {
  attempt(file, () => accessSync(isOurs ? resolvedScript(file) : file, access.R_OK))
}

function resolvedScript(file: string): string {
  try {
    return process.getBuiltinModule('node:module').createRequire(file).resolve(file)
  } catch {
    return file // it isn't there; or Node tells what is wrong with it
  }
}

function attempt(path: string, action: () => void): void {
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
  return !('bun' in process.versions) && !('deno' in process.versions)
}

/** Of our own flags, those that a program file can be run with. */
function defaultFlags(isOurs: boolean): string[] {
  if (!isOurs) return []
  const { execArgv } = process
  return execArgv.filter((flag, index) => !OWN_BUSINESS.test(flag) && !TAKES_VALUE.test(execArgv[index - 1] ?? ''))
}

/** The inspector's, whose port we have ourselves, and what says that the program is no file. */
const OWN_BUSINESS =
  /^(--inspect(-.*)?|--debug-port|-e|-p|-pe|--eval|--print|-i|--interactive|--input-type|-c|--check|--test|--watch(-.*)?)(=|$)/
/** Those of them whose value may follow as an argument of its own. */
const TAKES_VALUE = /^(--inspect-port|--debug-port|-e|-p|-pe|--eval|--print|--input-type|--watch-path)$/
