// Programs under the native supervisor, and the kernel's view of both.
import type { ChildProcess } from 'node:child_process'
import { readFileSync, readlinkSync } from 'node:fs'
import { connect } from 'node:net'
import { text as textOf } from 'node:stream/consumers'
import { type DaemonizeOptions, status, type WorkerStatus } from 'daemonic'
import type { Programs } from '../fixtures/supervised.js'
import { inForeground, startProgram } from './program.js'
import { type Program, programs, type Result, type RunOptions, type Scene } from './scene.js'

/** What a supervised program does; its files are d.pid and d.log. */
export const supervised = programs<Programs>('supervised')

/** A program, or options of one that stays. */
type Supervised = Program | DaemonizeOptions

function programOf(what: Supervised): Program {
  return isProgram(what) ? what : supervised('stays', what)
}

function isProgram(what: Supervised): what is Program {
  return Array.isArray(what)
}

export class Supervisor {
  constructor(
    readonly scene: Scene,
    readonly pid: number,
  ) {}

  /** What ps shows. */
  get title(): string {
    return readFileSync(`/proc/${this.pid}/cmdline`, 'utf8').replace(/\0+$/, '')
  }

  /** By the kernel's word. */
  children(): number[] {
    return childrenOf(this.pid)
  }

  get log(): string {
    return this.scene.exists('d.log') ? this.scene.read('d.log') : ''
  }

  logged(pattern: RegExp): Promise<RegExpExecArray> {
    return this.scene.until(`the log has ${pattern}`, () => pattern.exec(this.log))
  }

  titled(pattern: RegExp): Promise<true> {
    return this.scene.until(`the title is ${pattern}`, () => pattern.test(this.title) && (true as const))
  }

  signal(signal: NodeJS.Signals): void {
    process.kill(this.pid, signal)
  }

  status() {
    return status(this.scene.path('d.pid'))
  }

  /** What the control socket answers. */
  async ask(request: object | string): Promise<{ ok: boolean; error?: string; workers?: object[] }> {
    const client = connect(this.scene.path('d.sock'))
    client.end(`${typeof request === 'string' ? request : JSON.stringify(request)}\n`)
    return JSON.parse(await textOf(client))
  }

  /** The ready workers, by index, once there are `count` and none of `others`, nor any that is on its way. */
  async workers(count = 1, others: readonly number[] = []): Promise<readonly WorkerStatus[]> {
    return this.scene.until(`${count} workers are ready, none of ${others}`, async () => {
      const { workers } = await this.status()
      const wanted = workers.filter(({ pid, ready }) => ready && !others.includes(pid))
      return workers.length === count && wanted.length === count && workers
    })
  }

  async pids(count = 1, others: readonly number[] = []): Promise<number[]> {
    return (await this.workers(count, others)).map(({ pid }) => pid)
  }

  async worker(others: readonly number[] = []): Promise<number> {
    const [pid = 0] = await this.pids(1, others)
    return pid
  }
}

/** Starts one detached, by a launcher that has ended by then. */
export async function startSupervised(scene: Scene, what: Supervised, run: RunOptions = {}): Promise<Supervisor> {
  return new Supervisor(scene, await startProgram(scene, programOf(what), run))
}

export interface InForeground {
  supervisor: Supervisor
  child: ChildProcess
  end: Promise<Result>
}

/** Starts one in the foreground: a child of the test's process becomes the supervisor, whose end is seen so. */
export async function foregroundSupervised(
  scene: Scene,
  what: Supervised,
  run: RunOptions = {},
): Promise<InForeground> {
  const { child, end } = await inForeground(scene, programOf(what), run)
  return { child, end, supervisor: new Supervisor(scene, child.pid ?? 0) }
}

export function childrenOf(pid: number): number[] {
  try {
    const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim()
    return text === '' ? [] : text.split(' ').map(Number)
  } catch {
    return [] // it has ended
  }
}

/** A line of /proc/PID/status. */
export function statusLine(pid: number, name: string): string {
  return new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? ''
}

/** Where a descriptor leads. */
export function linkOf(pid: number, fd: number): string {
  return readlinkSync(`/proc/${pid}/fd/${fd}`)
}

export function isAlive(pid: number): boolean {
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'))
  } catch {
    return false
  }
}
