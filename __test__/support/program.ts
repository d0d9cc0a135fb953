// Small programs that a test writes into its scene and runs.
import type { ChildProcess } from 'node:child_process'
import { PidLock } from 'daemonic'
import { finished, type Program, type Result, type RunOptions, type Scene } from './scene.js'

/** The module under test, as any program anywhere can import it. */
export const LIBRARY = new URL('../../index.js', import.meta.url).href

/** What every program begins with. Its own directory, since the daemon works elsewhere: `here`. */
const PROLOGUE = `import * as daemonic from '${LIBRARY}'
import * as fs from 'node:fs'
const { daemonize } = daemonic
const here = import.meta.dirname
const tell = (file, text) => fs.appendFileSync(here + '/' + file, text + '\\n')
`

/** Writes a program; gives its path. */
export function program(scene: Scene, text: string, name = 'program.mjs'): string {
  return scene.write(name, `${PROLOGUE}${text}\n`)
}

/** Writes a program, and runs it to the end of its launcher. */
export function runProgram(scene: Scene, text: string, run: RunOptions = {}): Promise<Result> {
  return scene.node(program(scene, text), run)
}

/** Starts a program that becomes a daemon with the pid file d.pid; gives its pid. */
export async function startProgram(scene: Scene, text: string | Program, run: RunOptions = {}): Promise<number> {
  const { code, stderr } = await (typeof text === 'string' ? runProgram(scene, text, run) : scene.node(text, run))
  if (code !== 0) throw new Error(`the launcher ended with ${code}: ${stderr}`)
  return Number(scene.read('d.pid'))
}

export interface Foreground {
  child: ChildProcess
  /** How it ends, which of a daemon only its parent can see. */
  end: Promise<Result>
}

/** The same program as a child of ours that does not detach, once it is ready. */
export async function inForeground(scene: Scene, text: string | Program, run: RunOptions = {}): Promise<Foreground> {
  const options: RunOptions = { ...run, detach: 'false' }
  const argv = typeof text === 'string' ? ([program(scene, text)] as const) : text
  const child = scene.spawnNode(argv, options)
  const end = finished(child)
  await scene.until('it is ready', () => {
    if (child.exitCode !== null || child.signalCode !== null) throw new Error('it ended before it was ready')
    const { state, pid } = PidLock.inspect(scene.path('d.pid'))
    return state === 'running' && pid === child.pid
  })
  return { child, end }
}
