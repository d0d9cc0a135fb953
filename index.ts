// The public surface.
export { command } from './src/command.js'
export { commandHelp } from './src/command-line.js'
export { type Config, type DaemonConfig, defineConfig } from './src/config.js'
export { connect } from './src/connect.js'
export { type DetachContext, detachContext } from './src/context.js'
export { reload, reopenLogs, type StopOptions, type Stopped, signal, stop } from './src/control.js'
export { daemonize } from './src/daemonize.js'
export { AlreadyRunningError, DaemonError, OptionError, StartError, SystemCallError } from './src/errors.js'
export { launch } from './src/launch.js'
export { targetOf } from './src/paths.js'
export { type LockOptions, type PidFileState, PidLock, type WaitOptions } from './src/pid-lock.js'
export { type ProcessInfo, processInfo } from './src/process-info.js'
export { type DaemonStatus, status, type WorkerStatus } from './src/status.js'
export type {
  Daemon,
  DaemonizeOptions,
  Launched,
  LaunchOptions,
  Limit,
  ListenMap,
  ListenSocket,
  ListenTarget,
  MonitorOptions,
  OutputTarget,
  PidFileOptions,
  ProcessOptions,
  ResourceName,
  SignalAction,
  SignalMap,
} from './src/types.js'
