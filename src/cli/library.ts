// The one door between the command and the library: no other file of src/cli imports from outside the folder, and
// `npm run lint` holds that.

export { supervisorPath } from '../binding/addon.js'
export { type OptionSyntax, type OptionValues, parseLine } from '../command/option-parser.js'
export { elapsed, startedPhrase } from '../command/phrases.js'
export { json, plain, visible } from '../command/visible.js'
export { reload, reopenLogs, type Stopped, scale, signal, stop } from '../control.js'
export type { Config, DaemonConfig } from '../define-config.js'
export { AlreadyRunningError, DaemonError, during, OptionError, SystemCallError } from '../errors/classes.js'
export { checkLaunch, launchSupervised as launch, run } from '../launch.js'
export type { LaunchOptions as StartOptions } from '../option-types.js'
export { nameOf } from '../options/name.js'
export { pidFilePath } from '../options/pid-file.js'
export { LAUNCH_OPTIONS, OPTIONS } from '../options/table.js'
export { entries, list, refuseUnknown, show, suggestion } from '../options/values.js'
export { type PidFileState, PidLock } from '../pid-lock.js'
export { type ServiceUnit, serviceUnit } from '../process/service-unit.js'
export { removeRecord } from '../running/failed-instances.js'
export { runningTime } from '../running/find-running.js'
export {
  logPath,
  pidFilesInRunDirectory,
  prepareDirectory,
  runDirectory,
  runPath,
  statePath,
  targetOf,
  targetPath,
} from '../running/paths.js'
export { openRegularFile } from '../running/regular-file.js'
export {
  draftState,
  readFailure,
  readLastState,
  readState,
  readStateToExecute,
  type State,
} from '../running/state-file.js'
export { unlockedProcess } from '../running/unlocked-process.js'
export type { AnyLaunched as Launched } from '../start/launcher.js'
export { type DaemonFailure, type DaemonStatus, status } from '../status.js'
