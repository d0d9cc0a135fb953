// Processes that contend for one pid file (programs/waiter.ts).
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, statSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { nextMessage } from './messages.js'
import { program, type World } from './world.js'

export type Order = 'hold' | 'release' | 'wait' | 'pass'

/** Milliseconds of the monotonic clock. */
export interface Moments {
  /** When wait() or acquire() had returned. */
  got?: number
  /** When release() was called, and when it had returned. */
  letGo?: number
  done?: number
}

const DEADLINE = 20_000
const LOOK_EVERY = 10
/** From the last waiter's call until a round begins, so that no process is still booting. */
const SETTLE = 100

export class Waiters implements AsyncDisposable {
  readonly #world: World
  readonly #children = new Set<ChildProcess>()

  constructor(world: World) {
    this.#world = world
  }

  start(): ChildProcess {
    const child = fork(program('waiter'), { env: this.#world.environment() })
    this.#children.add(child)
    child.once('exit', () => this.#children.delete(child))
    return child
  }

  /** Gives an order; resolves with the child's answer to it. */
  async order(child: ChildProcess, order: Order): Promise<Moments> {
    child.send(order)
    const [moments] = await nextMessage(child)
    return moments as Moments
  }

  /** Resolves when so many wait in fcntl(2) for the file: the lines with an arrow in /proc/locks (proc_locks(5)). */
  async areWaiting(count: number): Promise<void> {
    for (const deadline = Date.now() + DEADLINE; waiting(this.#world.pidFile) !== count; ) {
      if (Date.now() > deadline) throw new Error(`${waiting(this.#world.pidFile)} wait, not ${count}`)
      await delay(LOOK_EVERY)
    }
    await delay(SETTLE)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(
      [...this.#children].map(child => {
        const ended = once(child, 'exit')
        child.kill('SIGKILL')
        return ended
      }),
    )
  }
}

function waiting(path: string): number {
  const file = statSync(path, { throwIfNoEntry: false })
  if (!file) return 0
  const lines = readFileSync('/proc/locks', 'utf8').split('\n')
  return lines.filter(line => line.includes('->') && line.includes(`:${file.ino} `)).length
}
