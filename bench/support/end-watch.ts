// When other processes end, by the kernel: a process of its own polls their pidfds (programs/watch-end.c).
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface, type Interface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { compile } from './c-program.js'
import type { World } from './world.js'

export class EndWatch implements AsyncDisposable {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>
  readonly #lines: Interface

  constructor(world: World) {
    this.#child = spawn(compile(world, 'watch-end'), [], { stdio: ['pipe', 'pipe', 'inherit'] })
    this.#lines = createInterface(this.#child.stdout)
  }

  /** Resolves once the process is watched, with the promise of its end. One at a time. */
  async watch(pid: number): Promise<{ end: Promise<number> }> {
    const first = this.#line()
    this.#child.stdin.write(`${pid}\n`)
    await first
    return { end: this.#line().then(Number) }
  }

  async #line(): Promise<string> {
    const [line] = await once(this.#lines, 'line')
    return String(line)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = once(this.#child, 'exit')
    this.#child.kill('SIGKILL')
    await ended
  }
}
