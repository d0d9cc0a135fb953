// Pid files: who owns them, who waits for them, and locks that other programs take.
import { type ChildProcess, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, statSync } from 'node:fs'
import test from 'ava'
import { PidLock } from 'daemonic'
import type { Programs } from '../fixtures/locks.js'
import { type Program, programs, type RunOptions, type Scene, script } from './scene.js'

export const NOBODY = 65_534
export { asRoot } from './root.js'
export const withPython = works('python3', '-c', '') ? test : test.skip // no Node module can lock ranges of a file
export const withNamespaces = works('unshare', '--pid', '--fork', '--mount-proc', 'true') ? test : test.skip // root's, and not in every container

export const locks = programs<Programs>('locks')

/** A process that owns the file; `program` is what else it does. */
export async function owner(
  scene: Scene,
  program: Program = locks('owns', 'd.pid'),
  run: RunOptions = {},
): Promise<ChildProcess> {
  const child = scene.spawnNode(program, run)
  await owns(scene, child)
  return child
}

/** Waits until the child is the owner. */
export async function owns(scene: Scene, child: ChildProcess, file = 'd.pid'): Promise<void> {
  await scene.until(`${child.pid} owns ${file}`, () => {
    if (child.exitCode !== null || child.signalCode !== null) throw new Error('it ended before it owned the file')
    const { state, pid, verified } = PidLock.inspect(scene.path(file))
    return state === 'running' && verified && pid === child.pid
  })
}

/** Ends a child at once, and waits until it has. */
export async function killed(child: ChildProcess): Promise<void> {
  const ended = once(child, 'exit')
  child.kill('SIGKILL')
  await ended
}

/** How many wait in fcntl(2) for the file: the lines with an arrow in /proc/locks (proc_locks(5)). */
export function waiters(scene: Scene, file = 'd.pid'): number {
  const stat = statSync(scene.path(file), { throwIfNoEntry: false })
  if (!stat) return 0
  const lines = readFileSync('/proc/locks', 'utf8').split('\n')
  return lines.filter(line => line.includes('->') && line.includes(`:${stat.ino} `)).length
}

export function areWaiting(scene: Scene, count: number, file?: string): Promise<true> {
  return scene.until(`${count} wait`, () => waiters(scene, file) === count && (true as const))
}

export interface ForeignLock {
  type: 'read' | 'write'
  /** Of the open file, whose owner the kernel hides, or of the process. */
  of: 'file' | 'process'
  start: number
  length: number
}

const COMMANDS = { file: 37, process: 6 } // F_OFD_SETLK, F_SETLK
const TYPES = { read: 0, write: 1 }

/** A process of another program that takes a lock of its own on the file, and stays. */
export async function foreignLock(
  scene: Scene,
  lock: ForeignLock,
  file = 'd.pid',
  run: RunOptions = {},
): Promise<ChildProcess> {
  const numbers = [COMMANDS[lock.of], TYPES[lock.type], lock.start, lock.length]
  const child = scene.spawn('python3', [script('lock.py'), scene.path(file), ...numbers.map(String)], {
    ...run,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [first] = await Promise.race([once(child.stdout as NodeJS.ReadableStream, 'data'), once(child, 'exit')])
  if (String(first) !== 'locked') throw new Error(`the lock was refused: ${first}`)
  return child
}

export interface Bystander {
  pid: number
  /** Asks it for an answer, which no process gives that a signal is about to end. */
  lives(): Promise<boolean>
}

/** A process that must come to no harm. */
export function bystander(scene: Scene): Bystander {
  const child = scene.spawn('cat', [], { stdio: ['pipe', 'pipe', 'inherit'] })
  child.stdin?.on('error', () => {}) // it has ended: no answer will come
  const ended = once(child, 'exit').then(() => false)
  const lives = () => {
    child.stdin?.write('?')
    return Promise.race([once(child.stdout as NodeJS.ReadableStream, 'data').then(() => true), ended])
  }
  return { pid: child.pid ?? 0, lives }
}

function works(command: string, ...args: string[]): boolean {
  return spawnSync(command, args).status === 0
}
