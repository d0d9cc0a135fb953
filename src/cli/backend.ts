// What the command does, it does by the library: the one place where they meet.
import { DaemonError } from '../errors.js'
import { launch as launchAny } from '../launch.js'
import type { Launched, LaunchOptions, MonitorOptions } from '../types.js'

export { signal, stop } from '../control.js'
export { status } from '../status.js'
export type { Launched }

/** What is started without --monitor, --restart or --workers. TODO: { restart: 'no' } once the supervisor is there. */
export const UNMONITORED: MonitorOptions | undefined = undefined

/** As launch() takes them, and what only a supervisor can wait for. */
export interface StartOptions extends Omit<LaunchOptions, 'ready'> {
  ready?: 'auto' | 'manual' | 'port' | `fd=${number}` | undefined
}

export function launch(program: string, options: StartOptions): Promise<Launched> {
  return launchAny(program, options as LaunchOptions)
}

/** Replaces this process by the supervisor. */
export function superviseHere(_program: string, _options: StartOptions): never {
  throw unsupported('run')
}

export function reload(_target: string, _options: { timeout?: number | undefined }): Promise<void> {
  return Promise.reject(unsupported('reload'))
}

export function reopenLogs(_target: string): Promise<void> {
  return Promise.reject(unsupported('reopen'))
}

export function scale(_target: string, _change: string): Promise<void> {
  return Promise.reject(unsupported('scale'))
}

function unsupported(verb: string): DaemonError {
  return new DaemonError(`\`${verb}\` is not there yet`, 'ERR_DAEMON_UNSUPPORTED')
}
