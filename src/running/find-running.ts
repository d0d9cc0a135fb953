// Finding the daemon that a pid file belongs to, once it is neither starting nor stopping.
import { checked, native } from '../binding/addon.js'
import { PidLock } from '../pid-lock.js'
import { readWithAuthor, type State } from './state-file.js'

/** A daemon that runs and is ready. */
export interface RunningOne {
  pid: number
  /** What its state file holds; null where the launcher could not write one. */
  state: State | null
  /** The user whose word that is; null for this user's own word, and root's. */
  author: number | null
}

/** How much later than the pid a state file may appear, in milliseconds. */
const STATE_DELAY = 500
/** The pause between two looks at what the kernel can't be waited on for, in milliseconds. */
const LOOK_EVERY = 5

/**
 * Finds the daemon that holds the pid file, and waits while it is starting or stopping. Resolves with null if no process
 * holds the file, with 'late' if its holder was still starting or stopping at `deadline`, a moment of performance.now().
 * @throws the reason of `signal`, if that aborts
 */
export async function findRunning(
  path: string,
  deadline: number,
  signal?: AbortSignal,
): Promise<RunningOne | 'late' | null> {
  for (;;) {
    signal?.throwIfAborted()
    const { state } = PidLock.inspect(path)
    if (state === 'absent' || state === 'free') return null
    const hasSettled = await isSettled(path, deadline, signal)
    signal?.throwIfAborted()
    if (!hasSettled) return 'late'
    const after = PidLock.inspect(path)
    if (after.state === 'absent' || after.state === 'free') return null
    if (after.state === 'running' && after.pid !== null) return withState(path, after.pid)
    if (performance.now() > deadline) return 'late'
    await pause()
  }
}

/** Returns how long ago a process was started, in milliseconds, by a clock that can't be set; null without /proc. */
export function runningTime(pid: number): number | null {
  return native.processUsage(pid)?.uptime ?? null
}

/** Waits a moment before another look. */
export function pause(): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, LOOK_EVERY))
}

/** Waits until the holder is neither starting nor stopping; false if that took until `deadline`, or until the abort. */
async function isSettled(path: string, deadline: number, signal: AbortSignal | undefined): Promise<boolean> {
  const waiting = new native.PidFileWait()
  const answer = waiting.settled(path)
  const cancel = () => waiting.cancel()
  const timer = setTimeout(cancel, Math.max(0, deadline - performance.now()))
  signal?.addEventListener('abort', cancel)
  try {
    return checked(await answer) !== null
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', cancel)
  }
}

async function withState(path: string, pid: number): Promise<RunningOne> {
  const deadline = performance.now() + STATE_DELAY
  for (;;) {
    const { state, author } = readWithAuthor(path, pid) ?? { state: null, author: null }
    if (state !== null || performance.now() > deadline || PidLock.inspect(path).pid !== pid) {
      return { pid, state, author }
    }
    await pause()
  }
}
