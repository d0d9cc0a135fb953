// Targets of verbs: names in the run directory, and pid files.
import { statSync } from 'node:fs'
import { basename, resolve } from 'node:path'
import {
  type PidFileState,
  PidLock,
  pidFilesInRunDirectory,
  readFailure,
  readLastState,
  runDirectory,
  show,
  suggestion,
  targetPath,
  unlockedProcess,
} from './library.js'
import { ago } from './units.js'
import { UsageError } from './usage.js'

/** A daemon that a verb acts on. */
export interface Target {
  /** The name in messages. */
  name: string
  /** The absolute path of its pid file. */
  path: string
}

const NAME = /^[A-Za-z0-9._-]{1,64}(@[A-Za-z0-9._-]{1,64})?$/

/** Reads a TARGET of the command line: a name or, with a slash, a pid file. @throws UsageError it is neither */
export function parseTarget(given: string): Target {
  if (given.includes('/') && !given.includes('\0')) {
    const path = resolve(given)
    return { name: readLastState(path)?.name ?? basename(path).replace(/\.pid$/, ''), path }
  }
  if (!NAME.test(given) || /^\.+$/.test(given)) {
    throw new UsageError(
      'Expected TARGET to be a name (at most 64 letters, digits, dots, dashes and underscores) ' +
        `or, with a slash, a pid file, got ${show(given)}`,
    )
  }
  return { name: given.replace(/\.pid$/, ''), path: resolve(targetPath(given)) }
}

/** Lists the daemons in the run directory, those that run and those that left something. Pid files of other software there are passed over. */
export function everyTarget(): Target[] {
  return pidFilesInRunDirectory()
    .filter(path => readLastState(path) !== null || isRunning({ path }))
    .map(path => ({ name: basename(path, '.pid'), path }))
}

/** Tells whether a process holds the daemon's pid file. */
export function isRunning({ path }: Pick<Target, 'path'>): boolean {
  const { state } = lookAt(path)
  return state === 'running' || state === 'starting'
}

/** Explains why a daemon isn't running: `no pid file /run/x.pid`. */
export function absence({ path }: Target): string {
  const { state, pid } = lookAt(path)
  const failure = readFailure(path)
  if (failure) return `failed ${ago(failure.at)}: ${failure.lastExit}`
  if (state === 'absent') return `no pid file ${path}`
  if (pid === null && !isEmpty(path)) return `${path} is no pid file`
  if (pid === null) return `its pid file ${path} is empty`
  if (unlockedProcess(path) !== null)
    return `pid ${pid} runs and is named in ${path}, but doesn't lock it: stop it with its own command`
  return `its pid file ${path} was left by pid ${pid}`
}

function isEmpty(path: string): boolean {
  const file = statSync(path, { throwIfNoEntry: false })
  return file === undefined || (file.isFile() && file.size === 0)
}

/** Asks who holds the pid file at `path`. One that can't be read or isn't a pid file counts as absent. */
export function lookAt(path: string): PidFileState {
  try {
    return PidLock.inspect(path)
  } catch {
    return { state: 'absent', pid: null, verified: false }
  }
}

/** Suggests a daemon that is spelled much like one of which nothing is known: `; did you mean \`y\`?`; '' if none is. */
export function nearest({ name, path }: Target): string {
  if (path !== resolve(runDirectory(), `${name}.pid`) || readLastState(path) || lookAt(path).state !== 'absent')
    return ''
  try {
    return suggestion(
      name,
      everyTarget().map(each => each.name),
    )
  } catch {
    return ''
  }
}
