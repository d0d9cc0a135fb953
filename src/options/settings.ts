// What the rest of the code gets of the options: validated, every default filled in.
import type { ListenPlan, Resources, StreamPlan } from '#native'
import type { SignalAction } from '../types.js'
import type { Identity } from './identity.js'
import type { Supervision } from './supervision.js'

/** How long a daemon may take to stop unless it says otherwise, in milliseconds. Less than Kubernetes' 30 s. */
export const STOP_TIMEOUT = 25_000

/** The last two where the supervisor watches: launch() and the command. */
export type Readiness = 'auto' | 'manual' | 'port' | `fd=${number}`

export interface Settings {
  name: string
  /** Null where there is one of the name. */
  instance: string | null
  /** launch()'s. */
  version: string | null
  detach: boolean | 'auto'
  chdir: string | false
  umask: number | false
  stdin: StreamPlan
  stdout: StreamPlan
  stderr: StreamPlan
  listen: ListenPlan[]
  signals: Map<NodeJS.Signals, SignalAction>
  /** Those of them that the caller named. */
  givenSignals: ReadonlySet<string>
  environment: { name: string; value?: string }[]
  identity: Identity
  preserve: number[]
  /** Given to the program before its exec. */
  resources: Resources
  pidFile: { path: string; mode: number; overwrite: boolean } | null
  ready: Readiness
  startTimeout: number
  stopTimeout: number
  idleTimeout: number | null
  /** Null where there is no supervisor. */
  supervision: Supervision | null
}
