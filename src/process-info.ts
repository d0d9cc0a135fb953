// The place of a process among the others: its parent, group, session and terminal.
import { checked, native } from './binding/addon.js'

/** What processInfo() found out. */
export interface ProcessInfo {
  pid: number
  /** The pid of its parent. */
  ppid: number
  /** The process group. */
  pgid: number
  /** The session. */
  sid: number
  /** The controlling terminal, such as 'pts/3'; null without one. */
  tty: string | null
  /** The file mode mask; null where the system doesn't tell it. */
  umask: number | null
}

/**
 * Reads parent, process group, session, terminal and umask of a process: proc_pid_stat(5).
 * @throws SystemCallError ESRCH: there is no such process
 */
export function processInfo(pid: number = process.pid): ProcessInfo {
  const { tty = null, umask = null, ...numbers } = checked(native.processFacts(pid))
  return { ...numbers, tty, umask }
}
