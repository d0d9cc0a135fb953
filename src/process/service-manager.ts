// What systemd, or another service manager that speaks sd_notify(3), tells this process by its environment.
import type { ServiceManager } from '#native'
import { native } from '../binding/addon.js'

let found: ServiceManager | null | undefined

/** Finds the service manager that started this process; null if there is none, or if NOTIFY_SOCKET is meant for an ancestor. */
export function serviceManager(): ServiceManager | null {
  found ??= native.serviceManager()
  return found
}

/** Whether systemd started this very process, not an ancestor that left its variables behind: systemd.exec(5). */
export function isStartedBySystemd(): boolean {
  const { SYSTEMD_EXEC_PID, LISTEN_PID, JOURNAL_STREAM } = process.env
  const pid = String(process.pid)
  return (
    SYSTEMD_EXEC_PID === pid ||
    LISTEN_PID === pid ||
    (JOURNAL_STREAM !== undefined && [1, 2].some(fd => native.isJournalStream(fd, JOURNAL_STREAM)))
  )
}
