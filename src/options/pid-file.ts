// Where the pid file of a daemon lies, and how it is made: the `pidFile` option.
import { resolve } from 'node:path'
import type { DaemonizeOptions } from '../option-types.js'
import { pidFilePathOf, targetOf, targetPath } from '../running/paths.js'
import { OPTIONS } from './table.js'
import { mode, oneOf, or, refuseUnknown, text } from './values.js'

/** A pid file that a start locks. */
export interface PidFileSettings {
  /** Absolute. */
  path: string
  mode: number
  overwrite: boolean
}

const MODE = 0o644

/**
 * The path of a daemon's pid file; null where it has none. `true` is the daemon's own file in the run directory, a path
 * without a slash is a file there, and a path with one is the file that it names.
 */
export function pidFilePath(
  pidFile: DaemonizeOptions['pidFile'],
  name: string,
  instance?: string | null,
): string | null {
  if (pidFile === undefined || pidFile === false) return null
  const path = typeof pidFile === 'object' ? pidFile.path : pidFile
  if (typeof path !== 'string') return targetPath(targetOf(name, instance))
  return pidFilePathOf(path)
}

/** Validates the `pidFile` option; null where there is no pid file. @throws OptionError */
export function normalisePidFile(
  value: DaemonizeOptions['pidFile'],
  name: string,
  instance: string | null,
): PidFileSettings | null {
  const given = or(value, OPTIONS.pidFile.default)
  const isObject = typeof given === 'object' && given !== null
  const details: { path?: unknown; mode?: unknown; overwrite?: unknown } = isObject ? given : {}
  refuseUnknown('pidFile', Object.keys(details), ['path', 'mode', 'overwrite'])
  if (isObject) text('pidFile.path', details.path, 'true or a path')
  else if (typeof given !== 'boolean') text('pidFile', given, 'true or a path')
  const path = pidFilePath(given, name, instance)
  return path === null
    ? null
    : {
        path: resolve(path),
        mode: mode('pidFile.mode', or(details.mode, MODE), 0o7777),
        overwrite: oneOf('pidFile.overwrite', or(details.overwrite, false), [true, false]),
      }
}
