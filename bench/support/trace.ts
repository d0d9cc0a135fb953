// What strace(1) saw: the system calls of each process, in order, with their time.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { PidLock, processInfo } from 'daemonic'
import { program, type World } from './world.js'

export interface Call {
  /** Seconds since the epoch, when the call began. */
  time: number
  name: string
  text: string
}

export interface Start {
  /** The launcher's first fork, when it began. */
  forked: number
  middle: Call[]
  daemon: Call[]
}

/** Milliseconds. */
const DEADLINE = 30_000
const LOOK_EVERY = 5

/** Starts the daemon under strace, with a limit of open files if one is given, ends it, and reads the trace. */
export async function traceStart(world: World, flags: readonly string[] = [], limit?: string): Promise<Start> {
  const path = world.path('trace')
  const command = ['strace', '-f', '-ttt', ...flags, '-o', path, process.execPath, program('daemon')]
  const script = `${limit === undefined ? '' : `ulimit -n ${limit} && `}exec "$@"`
  const strace = spawn('sh', ['-c', script, 'sh', ...command], { stdio: 'ignore', env: world.environment() })
  // strace ends when all that it traces has ended, the daemon too.
  const ended = once(strace, 'exit')
  for (const deadline = Date.now() + DEADLINE; !isOver(world); ) {
    if (Date.now() > deadline || strace.exitCode !== null) throw new Error('no daemon under strace')
    await delay(LOOK_EVERY)
  }
  await world.stopDaemon()
  await ended
  return readStart(path)
}

/** The daemon is ready, and the middle, whose pid is the session's, has ended. */
function isOver(world: World): boolean {
  const { state, pid } = PidLock.inspect(world.pidFile)
  if (state !== 'running' || pid === null) return false
  const { ppid, sid } = processInfo(pid)
  return ppid !== sid
}

/** A new process, as fork(2), vfork(2) or clone(2) make it, with or without a stack of its own; not a thread. */
export function isFork(call: Call): boolean {
  return FORK.test(call.text)
}

const FORK = /^(?:clone3?|v?fork)\((?!.*CLONE_THREAD)/

/** Reads what `strace -f -ttt -o PATH` wrote of a start, and finds the middle and the daemon in it. */
export function readStart(path: string): Start {
  const calls = new Map<number, Call[]>()
  let fork: { time: number; middle: number } | undefined
  const parents = new Map<number, number>()
  const forking = new Map<number, number>()
  for (const line of readFileSync(path, 'utf8').split('\n')) {
    const [, pid, time, rest = ''] = /^(\d+)\s+(\d+\.\d+) (.*)$/.exec(line) ?? []
    if (pid === undefined || time === undefined) continue
    const name = /^(\w+)\(/.exec(rest)?.[1]
    if (name !== undefined) {
      const known = calls.get(Number(pid)) ?? []
      calls.set(Number(pid), [...known, { time: Number(time), name, text: rest }])
    }
    if (FORK.test(rest)) forking.set(Number(pid), Number(time))
    // Threads' clones are not among `forking`.
    const child = /^(?:clone3?\(|v?fork\(|<\.\.\. (?:clone3?|v?fork) resumed>).*\s= (\d+)$/.exec(rest)?.[1]
    const began = forking.get(Number(pid))
    if (child === undefined || began === undefined) continue
    forking.delete(Number(pid))
    parents.set(Number(child), Number(pid))
    fork ??= { time: began, middle: Number(child) }
  }
  const middle = fork?.middle
  const daemon = [...parents].find(([, parent]) => parent === middle)?.[0]
  if (fork === undefined || middle === undefined || daemon === undefined) throw new Error(`no start in ${path}`)
  return { forked: fork.time, middle: calls.get(middle) ?? [], daemon: calls.get(daemon) ?? [] }
}

/** The calls up to the first one of that name, which is included. */
export function upTo(name: string, calls: readonly Call[]): Call[] {
  const end = calls.findIndex(call => call.name === name)
  return calls.slice(0, end < 0 ? calls.length : end + 1)
}

/** `setsid, rt_sigaction ×64, execve`: repeats in a row are counted. */
export function summary(calls: readonly Call[]): string {
  const runs: { name: string; count: number }[] = []
  for (const { name } of calls) {
    const last = runs.at(-1)
    if (last?.name === name) last.count += 1
    else runs.push({ name, count: 1 })
  }
  return runs.map(({ name, count }) => (count > 1 ? `${name} ×${count}` : name)).join(', ')
}
