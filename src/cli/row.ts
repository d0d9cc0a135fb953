// One daemon in the table of `status`.
import type { DaemonStatus } from './library.js'

/** What `status` found out about a target, or why it could not. */
export type Row = (DaemonStatus & { pidFile: string }) | Unknown

/** A target that could not be looked at. */
export interface Unknown {
  name: string
  state: 'unknown'
  pidFile: string
  error: { code: string; message: string }
}
