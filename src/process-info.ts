// Where a process stands among the others.
import { checked, native } from './binding/addon.js'

export interface ProcessInfo {
  pid: number
  ppid: number
  /** Process group and session. */
  pgid: number
  sid: number
  /** The controlling terminal, such as 'pts/3'. */
  tty: string | null
  umask: number | null
}

/** Parent, process group, session, terminal and umask of a process: proc_pid_stat(5). @throws SystemCallError ESRCH */
export function processInfo(pid: number = process.pid): ProcessInfo {
  const { tty = null, umask = null, ...numbers } = checked(native.processFacts(pid))
  return { ...numbers, tty, umask }
}
