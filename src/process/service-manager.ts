// What systemd, or another service manager that speaks sd_notify(3), tells this process by its environment.
import { native } from '../binding/addon.js'

/** Gives the address where the service manager listens for messages of this process; null if NOTIFY_SOCKET is unset or meant for an ancestor. */
export function managerAddress(): string | null {
  const { NOTIFY_SOCKET, SYSTEMD_EXEC_PID } = process.env
  const isMeantForThis = SYSTEMD_EXEC_PID === undefined || SYSTEMD_EXEC_PID === String(process.pid)
  return NOTIFY_SOCKET && isMeantForThis ? NOTIFY_SOCKET : null
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
