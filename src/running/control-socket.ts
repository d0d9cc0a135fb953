// Asking a daemon's supervisor, over the control socket beside the pid file.
import { accessSync, constants, existsSync } from 'node:fs'
import { checked, native } from '../binding/addon.js'
import { DaemonError } from '../errors/classes.js'
import { PidLock } from '../pid-lock.js'
import { pause } from './find-running.js'
import { controlPath, statePath } from './paths.js'
import { readState } from './state-file.js'

/** What a supervisor can be asked. */
type Request =
  | { do: 'status' }
  | { do: 'reload' }
  | { do: 'reopen-logs' }
  /** `to` is `4`, `+1` or `-1`. */
  | { do: 'scale'; to: string }
  | { do: 'signal'; signal: number }
  | { do: 'outcome' }

/** The answer to `status`. Times are milliseconds, sizes bytes. */
export interface SupervisorStatus {
  ok: true
  name: string
  pid: number
  phase: 'starting' | 'running' | 'reloading' | 'stopping'
  uptime: number
  addresses: Readonly<Record<string, string>>
  /** The number of workers that there are to be. */
  slots: number
  restarts: number
  /** The worker that exits again and again; null if none does. */
  failing: { failures: number; lastExit: string | null; restartIn: number | null } | null
  workers: {
    pid: number
    worker: number
    ready: boolean
    /** Whether it is stopping: after a reload its successor has its place, after a `scale` no worker has. */
    retiring: boolean
    uptime: number
    rss: number
    cpuTime: number
    restarts: number
    lastExit: string | null
    statusText: string | null
  }[]
}

/** How a daemon has ended, by its supervisor. */
export interface SupervisorOutcome {
  /** The supervisor's own exit code. */
  exitCode: number
  /** Workers that did not exit when they were asked to, and were killed. */
  killed: number[]
}

type Answer = { ok: true } | { ok: false; error: string }

/** The answer of a supervisor that is executing itself anew (SIGUSR2): ask again. */
const RETRY = 'retry'
/** How long an answer may take to what a supervisor does at once, in milliseconds. */
const ANSWER_TIMEOUT = 10_000
/** How long such a supervisor may be without a socket, in milliseconds. */
const ABSENCE = 1_000

/**
 * Asks the supervisor that holds the pid file at `path`. Resolves with its answer, or with null if the daemon has no
 * supervisor.
 * @throws DaemonError `code`: the supervisor refused
 * @throws SystemCallError ETIMEDOUT after `timeout` milliseconds; EACCES: it is another user's
 */
export async function askSupervisor(
  path: string,
  request: Request,
  code: string,
  timeout = ANSWER_TIMEOUT,
): Promise<{ ok: true } | null> {
  const deadline = performance.now() + Math.min(timeout, ABSENCE)
  for (;;) {
    const { pid } = PidLock.inspect(path)
    // Without a supervisor, a socket of that name would be the program's own.
    if (pid === null || !maySupervise(path, pid)) return null
    const text = checked(await native.askSupervisor(controlPath(path), pid, JSON.stringify(request), timeout))
    if (text === null) {
      // The supervisor may be executing itself anew; or its socket was removed.
      if (performance.now() > deadline) return null
      await pause()
      continue
    }
    const answer: Answer = JSON.parse(text)
    if (answer.ok) return answer
    if (answer.error !== RETRY) throw new DaemonError(`${path}: ${answer.error}`, code)
  }
}

/** Resolves once the daemon that runs as `pid` has ended, with how; null where it has no supervisor, or none that tells. */
export async function outcomeOf(path: string, pid: number, timeout: number): Promise<SupervisorOutcome | null> {
  if (!maySupervise(path, pid)) return null
  try {
    const request = JSON.stringify({ do: 'outcome' } satisfies Request)
    const text = checked(await native.askSupervisor(controlPath(path), pid, request, timeout))
    const answer: ({ ok: true } & SupervisorOutcome) | { ok: false } | null = text === null ? null : JSON.parse(text)
    return answer?.ok ? answer : null
  } catch {
    return null // it is another user's, or was killed before it could answer
  }
}

/**
 * Tells whether the daemon may have a supervisor. The state file says so; another user's can't be read, so that the socket
 * is asked, and refuses.
 */
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
