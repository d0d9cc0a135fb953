// The daemon that a pid file belongs to, once it neither starts nor ends, with what is known of it.
import { checked, native } from '../binding/addon.js'
import { PidLock } from '../pid-lock.js'
import { readState, type State } from './state-file.js'

export interface RunningOne {
  pid: number
  /** Null where its starter could not write one. */
  state: State | null
}

/** How long a state may follow its daemon's pid, and how often is looked where the kernel can't be waited on, in milliseconds. */
const STATE_PATIENCE = 500
const LOOK_EVERY = 5

/** Null: nobody has the file. 'late': who has it was still starting or ending at `deadline`, a moment of performance.now(). */
export async function findRunning(path: string, deadline: number): Promise<RunningOne | 'late' | null> {
  for (;;) {
    const { state } = PidLock.inspect(path)
    if (state === 'absent' || state === 'free') return null
    if (!(await settled(path, deadline))) return 'late'
    const after = PidLock.inspect(path)
    if (after.state === 'absent' || after.state === 'free') return null
    if (after.state === 'running' && after.pid !== null) return withState(path, after.pid)
    if (performance.now() > deadline) return 'late'
    await pause()
  }
}

/** Before another look. */
export function pause(): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, LOOK_EVERY))
}

/** False: not in time. */
async function settled(path: string, deadline: number): Promise<boolean> {
  const waiting = new native.PidFileWait()
  const answer = waiting.settled(path)
  const timer = setTimeout(() => waiting.cancel(), Math.max(0, deadline - performance.now()))
  try {
    return checked(await answer) !== null
  } finally {
    clearTimeout(timer)
  }
}

async function withState(path: string, pid: number): Promise<RunningOne> {
  const deadline = performance.now() + STATE_PATIENCE
  for (;;) {
    const state = readState(path, pid)
    if (state !== null || performance.now() > deadline || PidLock.inspect(path).pid !== pid) return { pid, state }
    await pause()
  }
}
