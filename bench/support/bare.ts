// Programs without anything around them: the units of what a start costs.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { now } from './clock.js'
import type { Marks } from './marks.js'
import { IN_BACKGROUND, program, type World } from './world.js'

/** Milliseconds from its spawn until it listens; it is ended. */
export async function bareStart(world: World, marks: Marks): Promise<number> {
  marks.clear()
  const start = now()
  const child = spawn(process.execPath, [program('plain')], {
    ...IN_BACKGROUND,
    env: world.environment({ MARKS: marks.path }),
  })
  const [serving] = await marks.wait('serving')
  const end = once(child, 'exit')
  child.kill('SIGKILL')
  await end
  return (serving?.time ?? Number.NaN) - start
}

/** Milliseconds of a Node program that does nothing. */
export async function emptyRun(world: World): Promise<number> {
  const began = now()
  const child = spawn(process.execPath, [program('empty')], { stdio: 'ignore', env: world.environment() })
  await once(child, 'exit')
  return now() - began
}
