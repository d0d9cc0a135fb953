// Asking a daemon's supervisor, over the socket beside the pid file.
import { accessSync, constants, existsSync } from 'node:fs'
import { checked, native } from '../binding/addon.js'
import { DaemonError } from '../errors/classes.js'
import { PidLock } from '../pid-lock.js'
import { pause } from './find-running.js'
import { controlPath, statePath } from './paths.js'
import { readState } from './state-file.js'

type Request =
  | { do: 'status' }
  | { do: 'reload' }
  | { do: 'reopen-logs' }
  /** `4`, `+1` or `-1`. */
  | { do: 'scale'; to: string }

/** What `status` is answered with. Milliseconds, bytes. */
export interface SupervisorStatus {
  ok: true
  name: string
  pid: number
  phase: 'starting' | 'running' | 'reloading' | 'stopping'
  uptime: number
  addresses: Readonly<Record<string, string>>
  workers: {
    pid: number
    worker: number
    ready: boolean
    /** On its way out: a successor has its place, or nobody. */
    retiring: boolean
    uptime: number
    rss: number
    cpuTime: number
    restarts: number
    lastExit: string | null
    statusText: string | null
  }[]
}

type Answer = { ok: true } | { ok: false; error: string }

/** What a supervisor that executes itself anew answers. */
const RETRY = 'retry'
/** How long its socket may be away, in milliseconds. */
const ABSENCE = 1_000

/**
 * The answer of the supervisor that holds the pid file at `path`; null where the daemon has none.
 * @throws DaemonError what the supervisor refuses, with `code`
 * @throws SystemCallError ETIMEDOUT after `timeout` milliseconds, EACCES: it is another user's
 */
export async function askSupervisor(
  path: string,
  request: Request,
  code: string,
  timeout = Infinity,
): Promise<{ ok: true } | null> {
  const deadline = performance.now() + Math.min(timeout, ABSENCE)
  for (;;) {
    const { pid } = PidLock.inspect(path)
    // A socket of that name may be the program's own.
    if (pid === null || !maySupervise(path, pid)) return null
    const text = checked(await native.askSupervisor(controlPath(path), pid, JSON.stringify(request), timeout))
    if (text === null) {
      // One that executes itself anew has no socket for a moment; another's may have been removed.
      if (performance.now() > deadline) return null
      await pause()
      continue
    }
    const answer: Answer = JSON.parse(text)
    if (answer.ok) return answer
    if (answer.error !== RETRY) throw new DaemonError(`${path}: ${answer.error}`, code)
  }
}

/** Where another user's state can't be read, its socket says who may ask. */
function maySupervise(path: string, pid: number): boolean {
  const state = readState(path, pid)
  if (state !== null) return state.supervised
  try {
    accessSync(statePath(path), constants.R_OK)
    return false
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EACCES' && existsSync(controlPath(path))
  }
}
