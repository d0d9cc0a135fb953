// What the command does, it does by the library: the one place where they meet.
import type { Launched, LaunchOptions, MonitorOptions } from '../types.js'

export { reload, reopenLogs, scale, signal, stop } from '../control.js'
export { launch, run } from '../launch.js'
export { status } from '../status.js'
export type { Launched, LaunchOptions as StartOptions }

/** What is started without --monitor, --restart or --workers: what it starts always runs under the supervisor. */
export const UNMONITORED: MonitorOptions = { restart: 'no' }
