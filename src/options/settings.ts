// What the rest of the code gets of the options: validated, every default filled in.
import type { EnvironmentChange, ListenPlan, Resources } from '#native'
import type { Identity } from './identity.js'
import type { PidFileSettings } from './pid-file.js'
import type { Readiness } from './readiness.js'
import type { Signals } from './signals.js'
import type { Streams } from './streams.js'
import type { Supervision } from './supervision.js'

/** The options of a start as the code uses them. Times are milliseconds. */
export interface Settings extends Streams, Signals {
  name: string
  /** The process title. */
  title: string
  /** What tells daemons of one name apart; null where there is one of the name. */
  instance: string | null
  /** The release of the program, as launch() was given it. */
  version: string | null
  detach: boolean | 'auto'
  chdir: string | false
  umask: number | false
  listen: ListenPlan[]
  resources: Resources
  environment: EnvironmentChange[]
  identity: Identity
  /** Numbers of descriptors that stay open. */
  preserve: number[]
  pidFile: PidFileSettings | null
  ready: Readiness
  startTimeout: number
  stopTimeout: number
  /** Milliseconds for draining; null for the default share of stopTimeout. */
  drainTimeout: number | null
  idleTimeout: number | null
  /** How workers are started and restarted; null where there is no supervisor. */
  supervision: Supervision | null
}
