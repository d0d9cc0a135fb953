// Whom a verb is meant for: names in the run directory, and pid files.
import { statSync } from 'node:fs'
import { basename, resolve } from 'node:path'
import { show, suggestion } from '../options/values.js'
import { type PidFileState, PidLock } from '../pid-lock.js'
import { pidFilesInRunDirectory, runDirectory, targetPath } from '../running/paths.js'
import { readLastState } from '../running/state-file.js'
import { UsageError } from './usage.js'

export interface Target {
  /** How it is called in messages. */
  name: string
  /** Of the pid file, absolute. */
  path: string
}

const NAME = /^[A-Za-z0-9._-]{1,64}(@[A-Za-z0-9._-]{1,64})?$/

/** @throws UsageError */
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
  return { name: given, path: resolve(targetPath(given)) }
}

/** Those of the run directory that are daemons of ours, or were: other people's pid files lie there too. */
export function everyTarget(): Target[] {
  return pidFilesInRunDirectory()
    .filter(path => readLastState(path) !== null || isLocked(path))
    .map(path => ({ name: basename(path, '.pid'), path }))
}

/** Why nothing runs there: `no pid file /run/x.pid; did you mean 'y'?`. */
export function absence({ name, path }: Target): string {
  const { state, pid } = lookAt(path)
  if (state === 'absent') return `no pid file ${path}${nearest(name, path)}`
  if (pid === null && !isEmpty(path)) return `${path} is no pid file`
  if (pid === null) return `its pid file ${path} is empty`
  return `its pid file ${path} was left by pid ${pid}`
}

function isEmpty(path: string): boolean {
  const file = statSync(path, { throwIfNoEntry: false })
  return file === undefined || (file.isFile() && file.size === 0)
}

export function lookAt(path: string): PidFileState {
  try {
    return PidLock.inspect(path)
  } catch {
    return { state: 'absent', pid: null, verified: false }
  }
}

function nearest(name: string, path: string): string {
  if (path !== resolve(runDirectory(), `${name}.pid`)) return ''
  if (name.endsWith('.pid')) return `; for a pid file write ./${name}`
  try {
    return suggestion(
      name,
      everyTarget().map(each => each.name),
    )
  } catch {
    return ''
  }
}

function isLocked(path: string): boolean {
  const { state } = lookAt(path)
  return state === 'running' || state === 'starting'
}
