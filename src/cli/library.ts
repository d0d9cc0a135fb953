// What the command does, it does by the library: the one place where they meet.
export { reload, reopenLogs, scale, signal, stop } from '../control.js'
export { type AnyLaunched as Launched, checkLaunch, launchSupervised as launch, run } from '../launch.js'
export type { LaunchOptions as StartOptions } from '../option-types.js'
export { status } from '../status.js'
