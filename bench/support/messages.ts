// What child processes answer.
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'

/** The child's next message, as the arguments of its event; rejects if it ends instead. */
export async function nextMessage(child: ChildProcess): Promise<unknown[]> {
  const over = new AbortController()
  const exit = once(child, 'exit', { signal: over.signal }).then(() => {
    throw new Error(`process ${child.pid} ended instead of an answer`)
  })
  exit.catch(() => {}) // it is aborted, or loses the race
  const message = once(child, 'message', { signal: over.signal })
  message.catch(() => {})
  try {
    return await Promise.race([message, exit])
  } finally {
    over.abort()
  }
}
