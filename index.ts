// The public surface.

export { commandHelp } from './src/command/command-line.js'
export { command } from './src/command.js'
export { connect } from './src/connect.js'
export { reload, reopenLogs, type StopOptions, type Stopped, signal, stop } from './src/control.js'
export { daemonize } from './src/daemonize.js'
export { type Config, type DaemonConfig, defineConfig } from './src/define-config.js'
export { type DetachContext, detachContext } from './src/detach-context.js'
export { AlreadyRunningError, DaemonError, OptionError, StartError, SystemCallError } from './src/errors/classes.js'
export { launch } from './src/launch.js'
export type {
  DaemonizeOptions,
  LaunchOptions,
  Limit,
  ListenMap,
  ListenTarget,
  MonitorOptions,
  OutputTarget,
  PidFileOptions,
  ProcessOptions,
  ResourceName,
  SignalAction,
  SignalMap,
} from './src/option-types.js'
export { type LockOptions, type PidFileState, PidLock, type WaitOptions } from './src/pid-lock.js'
export { type ProcessInfo, processInfo } from './src/process-info.js'
export { targetOf } from './src/running/paths.js'
export { type DaemonStatus, status, type WorkerStatus } from './src/status.js'
export type { Daemon, Launched, ListenSocket } from './src/types.js'
