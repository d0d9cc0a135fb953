// The flag that makes Node load the preload before a program.
import { LEAVE_OUT, packageFile } from '../binding/package-files.js'
import { DaemonError } from '../errors/classes.js'

/**
 * Returns the flags that make Node load the preload before the program.
 * @throws DaemonError ERR_DAEMON_UNSUPPORTED: the library became part of another bundle, which has no preload
 */
export function preloadFlags(): string[] {
  const url = preloadUrl()
  if (url === undefined) {
    throw new DaemonError(`daemonic can’t start programs from inside a bundle: ${LEAVE_OUT}`, 'ERR_DAEMON_UNSUPPORTED')
  }
  return ['--import', url]
}

/** Removes the preload from process.execArgv, which child_process.fork() and cluster give to their children. */
export function forgetPreload(): void {
  const place = process.execArgv.indexOf(preloadUrl() ?? '')
  if (place > 0) process.execArgv.splice(place - 1, 2)
}

/** The preload's URL; undefined where the library became part of another bundle. */
export function preloadUrl(): string | undefined {
  return packageFile('dist/preload.js')?.href
}
