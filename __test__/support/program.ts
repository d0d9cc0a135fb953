// Starting programs that become daemons.
import type { ChildProcess } from 'node:child_process'
import type { ExecutionContext } from 'ava'
import { PidLock } from 'daemonic'
import { finished, type Program, type Result, type RunOptions, type Scene } from './scene.js'

/** The module under test, as any program anywhere can import it. */
export const LIBRARY = new URL('../../index.js', import.meta.url).href

/** Starts a program that becomes a daemon with the pid file d.pid; gives its pid. */
export async function startProgram(scene: Scene, program: Program, run: RunOptions = {}): Promise<number> {
  const { code, stderr } = await scene.node(program, run)
  if (code !== 0) throw new Error(`the launcher ended with ${code}: ${stderr}`)
  return Number(scene.read('d.pid'))
}

/** A start ends, and the pid file says so, only when the daemon is ready: at the file `go`, after that one is there. */
export async function isReadyAtGo(t: ExecutionContext, scene: Scene, program: Program, noted: string): Promise<void> {
  const launcher = scene.spawnNode(program)
  const end = finished(launcher)
  await scene.until(`there is ${noted}`, () => scene.exists(noted))
  t.is(PidLock.inspect(scene.path('d.pid')).state, 'starting')
  t.is(launcher.exitCode, null)
  scene.write('go', '')
  t.is((await end).code, 0)
  t.is(PidLock.inspect(scene.path('d.pid')).state, 'running')
}

export interface Foreground {
  child: ChildProcess
  /** How it ends, which of a daemon only its parent can see. */
  end: Promise<Result>
}

/** Starts one as a child of the test's process that does not detach; gives it once it is ready. */
export async function inForeground(scene: Scene, program: Program, run: RunOptions = {}): Promise<Foreground> {
  const options: RunOptions = { ...run, detach: 'false' }
  const child = scene.spawnNode(program, options)
  const end = finished(child)
  await scene.until('it is ready', () => {
    if (child.exitCode !== null || child.signalCode !== null) throw new Error('it ended before it was ready')
    const { state, pid } = PidLock.inspect(scene.path('d.pid'))
    return state === 'running' && pid === child.pid
  })
  return { child, end }
}
