// What the command does, it does by the library: the one place where they meet.
export { reload, reopenLogs, scale, signal, stop } from '../control.js'
export { checkLaunch, launchSupervised as launch, run } from '../launch.js'
export { status } from '../status.js'
export type { Launched, LaunchOptions as StartOptions } from '../types.js'
