// Starts that must fail.
import type { ExecutionContext } from 'ava'
import type { Program, Result, RunOptions, Scene } from './scene.js'

interface Refusal {
  code?: number
  says: RegExp
  run?: RunOptions
}

/** Runs a start that must fail; checks its exit code, what it says, and that it leaves nothing. Gives its stderr. */
export async function refused(
  t: ExecutionContext,
  scene: Scene,
  start: Program | (() => Promise<Result>),
  { code = 1, says, run }: Refusal,
): Promise<string> {
  const before = scene.files()
  const result = await (typeof start === 'function' ? start() : scene.node(start, run))
  t.deepEqual(scene.processes(), [], 'processes left')
  t.regex(result.stderr, says, `exit code ${result.code}`)
  t.is(result.code, code)
  t.deepEqual(scene.files(), before)
  return result.stderr
}
