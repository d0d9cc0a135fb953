// The program that runs: how to start it again, in every runtime, and where that can't be done.
import { readFileSync, statSync } from 'node:fs'
import { constants } from 'node:os'
import { isAbsolute, join, resolve } from 'node:path'
import { noAddon } from '../binding/no-addon.js'
import { DaemonError, SystemCallError } from '../errors/classes.js'

/** What a start executes. */
export interface Program {
  path: string
  /** The whole command line, argv[0] included. */
  arguments: string[]
  /** Where to start it: paths in its flags and imports may be relative to that. */
  directory: string
  /**
   * Whether the program loads this library, by its own import or by the preload, and so becomes the daemon itself. If not,
   * the supervisor does all that for it. @default true
   */
  loadsLibrary?: boolean
  /** The script among the arguments; absent where there is none. */
  script?: string
}

// Read when the library is loaded: later the program may change its directory, its arguments and its title. Null if the
// directory has been removed.
const startDirectory = directoryOfScript() ?? currentDirectory()

/**
 * Gives what starts the running program again.
 * @throws DaemonError ERR_DAEMON_UNSUPPORTED: its text was not read from a file, so that nothing can run it again
 * @throws SystemCallError ENOENT: the directory where it was started has been removed
 */
export function sameProgram(): Program {
  const { execPath, execArgv, argv } = process
  const directory = requireStartDirectory()
  if (!('deno' in process.versions) && !isSingleExecutable()) refuseTextOnly(execArgv, argv[1])
  const script = isSingleExecutable() ? undefined : argv[1]
  return { path: execPath, arguments: commandLine(), directory, ...(script !== undefined && { script }) }
}

/** Gives the command line that started this process, as far as its runtime tells. */
export function commandLine(): string[] {
  const { execPath, execArgv, argv } = process
  if ('deno' in process.versions) return denoCommandLine()
  return [execPath, ...execArgv, ...argv.slice(isSingleExecutable() ? 2 : 1)]
}

/**
 * Gives the program by the directory's path that the shell knows (PWD), which may lead through symbolic links: a restart
 * then goes where they point by that time. Node itself knows only the path without links.
 */
export function throughLinks(program: Program): Program {
  const { PWD = '' } = process.env
  const { directory } = program
  if (!isAbsolute(PWD) || PWD === directory || !isSameFile(PWD, directory)) return program
  const moved = (word: string) => (word.startsWith(`${directory}/`) ? PWD + word.slice(directory.length) : word)
  const [first = '', ...words] = program.arguments
  const script = program.script === undefined ? {} : { script: moved(program.script) }
  return { ...program, ...script, directory: PWD, arguments: [first, ...words.map(moved)] }
}

function isSameFile(one: string, other: string): boolean {
  try {
    const [a, b] = [statSync(one), statSync(other)]
    return a.dev === b.dev && a.ino === b.ino
  } catch {
    return false
  }
}

/** Gives the directory where this process was started. @throws SystemCallError ENOENT: it has been removed */
export function requireStartDirectory(): string {
  return required(startDirectory)
}

/** Gives the directory where this process is now. @throws SystemCallError ENOENT: it has been removed */
export function requireDirectory(): string {
  return required(currentDirectory())
}

function required(directory: string | null): string {
  if (directory !== null) return directory
  const detail = 'the directory where it was started has been removed: change to one that exists'
  throw new SystemCallError({ step: 'chdir', syscall: 'getcwd', errno: constants.errno.ENOENT, detail })
}

/**
 * Gives the directory where Node was started with a relative path of its script, though the program may have left it before
 * it loaded the library: Node has made that path absolute, and /proc has it as it was. Null where they don't tell.
 */
function directoryOfScript(): string | null {
  const { argv, versions } = process
  const [, script, ...args] = argv
  if ('bun' in versions || 'deno' in versions || script === undefined) return null
  try {
    const word = readFileSync('/proc/self/cmdline', 'utf8')
      .split('\0')
      .slice(0, -1)
      .at(-1 - args.length)
    if (word === undefined || isAbsolute(word)) return null
    const directory = script.slice(0, -join('/', word).length) || '/'
    return resolve(directory, word) === script && statSync(directory).isDirectory() ? directory : null
  } catch {
    return null // no /proc, or the directory has been removed
  }
}

function currentDirectory(): string | null {
  try {
    return process.cwd()
  } catch {
    return null
  }
}

/** Lists the flags with which this runtime was started, those of NODE_OPTIONS included. */
export function flags(): string[] {
  return [...process.execArgv, ...(process.env.NODE_OPTIONS ?? '').split(/\s+/)]
}

/** Refuses the one system that has no such processes. @throws DaemonError ERR_DAEMON_UNSUPPORTED on Windows */
export function requireUnix(): void {
  if (process.platform === 'win32') throw noAddon([])
}

/** Refuses threads that can't become a daemon. @throws DaemonError ERR_DAEMON_UNSUPPORTED: Windows, a worker thread */
export function requireMainProgram(): void {
  requireUnix()
  if (workerThreads().isMainThread === false) {
    throw unsupported(
      'daemonize() was called in a worker thread: call it in the main thread, before workers are started',
    )
  }
}

const EVAL = /^(-e|-p|-pe|--eval|--print)(=|$)/

function refuseTextOnly(execArgv: readonly string[], script: string | undefined): void {
  if (execArgv.some(flag => EVAL.test(flag))) {
    throw unsupported(
      'daemonize() was called by `node -e`: a daemon needs a program file, to be started from again. ' +
        'Put the code into a file, or use `daemonic start -- node -e …`',
    )
  }
  if (script === '-') throw unsupported(STDIN)
  if (script === undefined) {
    throw unsupported(
      process.stdin.isTTY ? 'daemonize() was called in the REPL: put the code into a file and run that' : STDIN,
    )
  }
}

const STDIN =
  'the program was read from standard input, so that it can’t be started again: put it into a file and run that'

function unsupported(message: string): DaemonError {
  return new DaemonError(message, 'ERR_DAEMON_UNSUPPORTED')
}

/**
 * Whether runtime and program are one file. Node's single executable applications have their own path as argv[1], those
 * of `bun build --compile` a path inside themselves.
 */
export function isSingleExecutable(): boolean {
  const { execPath, argv } = process
  return argv[1] === execPath || (argv[1]?.startsWith('/$bunfs/') ?? false)
}

/** Reads Deno's command line from the kernel: Deno's own flags are in none of its arrays. */
function denoCommandLine(): string[] {
  return readFileSync('/proc/self/cmdline', 'utf8').split('\0').slice(0, -1)
}

function workerThreads(): typeof import('node:worker_threads') {
  return process.getBuiltinModule('node:worker_threads')
}
