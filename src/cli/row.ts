// One daemon in the table of `status`.
import type { DaemonStatus } from '../status.js'

/** What is known of a target; or why nothing is. */
export type Row = (DaemonStatus & { pidFile: string }) | Unknown

export interface Unknown {
  name: string
  state: 'unknown'
  pidFile: string
  error: { code: string; message: string }
}
