// Callers of launch(), and the programs that they launch.
import type { Launched, LaunchOptions } from 'daemonic'
import type { Programs as Callers } from '../fixtures/callers.js'
import type { Programs as LaunchedPrograms } from '../fixtures/launched.js'
import { finished, type Program, programs, type Result, type RunOptions, type Scene } from './scene.js'

/** What a caller tells of one launch(): what it resolved with, or why it didn't. */
export interface Told extends Partial<Launched> {
  error?: { name: string; code: string; exitCode: number; message: string; stderr?: string }
  /** Whether the daemon had noted that it was ready when launch() resolved. */
  wasReady?: boolean
}

export const launched = programs<LaunchedPrograms>('launched')
export const callers = programs<Callers>('callers')

/** Files of the scene alone, whoever runs the tests. */
export function inScene(scene: Scene, run: RunOptions = {}): RunOptions {
  return { ...run, env: { DAEMONIC_RUNTIME_DIR: scene.directory, ...run.env } }
}

/** How a program is launched: its files are called d, and there is no log, unless the options say otherwise. */
export function launchOf(
  [path, ...args]: Program,
  options: LaunchOptions = {},
): [path: string, options: LaunchOptions] {
  return [path, { name: 'd', args, log: 'ignore', ...options }]
}

/** Runs one caller to its end. */
export async function launchOnce(
  scene: Scene,
  program: Program,
  options: LaunchOptions = {},
  run: RunOptions = {},
): Promise<Told> {
  return told(await scene.node(callers('launches', ...launchOf(program, options)), inScene(scene, run)))
}

/** Where a daemon of another user works in the scene's directory, which is that user's: root believes no pid file there. */
export function runDirectoryOfRoot(scene: Scene): RunOptions {
  return { env: { DAEMONIC_RUNTIME_DIR: scene.path('run') } }
}

/** Runs many at once. */
export async function launchMany(
  scene: Scene,
  count: number,
  program: Program,
  options: LaunchOptions,
): Promise<Told[]> {
  const calling = callers('launches', ...launchOf(program, options))
  const run = () => finished(scene.spawnNode(calling, inScene(scene)))
  return (await Promise.all(Array.from({ length: count }, run))).map(told)
}

export function told({ code, stdout, stderr }: Result): Told {
  if (code !== 0) throw new Error(`the caller ended with ${code}: ${stderr}`)
  return JSON.parse(stdout)
}
