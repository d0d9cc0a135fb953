// Callers of launch(), and the programs that they launch.
import type { Launched, LaunchOptions } from 'daemonic'
import { LIBRARY, program } from './program.js'
import { finished, type Result, type RunOptions, type Scene } from './scene.js'

/** What a caller tells of one launch(): what it resolved with, or why it didn't. */
export interface Told extends Partial<Launched> {
  error?: { name: string; code: string; exitCode: number; message: string; stderr?: string }
  /** Whether the daemon had noted that it was ready when launch() resolved. */
  wasReady?: boolean
}

const STAY = 'setInterval(() => {}, 1_000_000)'
/** A script that knows nothing of daemons. */
export const PLAIN = `import * as fs from 'node:fs'
const here = import.meta.dirname
const tell = (file, text) => fs.appendFileSync(here + '/' + file, text + '\\n')
${STAY}
`

/** Files of the scene alone, whoever runs the tests. */
export function inScene(scene: Scene, run: RunOptions = {}): RunOptions {
  return { ...run, env: { DAEMONIC_RUNTIME_DIR: scene.directory, ...run.env } }
}

/** Writes a script for launch(); gives its path. */
export function script(scene: Scene, text: string, name = 'd.mjs'): string {
  return scene.write(name, PLAIN + text)
}

/** Writes one that imports the library. */
export function knowing(scene: Scene, text: string, name = 'd.mjs'): string {
  return scene.write(name, `import * as daemonic from '${LIBRARY}'\nconst { daemonize } = daemonic\n${PLAIN}${text}`)
}

/** A program that calls launch() and prints what came of it, in JSON. */
export function caller(scene: Scene, path: string, options: LaunchOptions = {}, name = 'caller.mjs'): string {
  return program(
    scene,
    `const { launch } = daemonic
const told = await launch(${JSON.stringify(path)}, { ...${JSON.stringify(options)}, ...JSON.parse(process.env.MORE ?? '{}') }).then(
  launched => ({ ...launched, wasReady: fs.existsSync(here + '/ready') }),
  ({ name, code, exitCode, message, stderr }) => ({ error: { name, code, exitCode, message, stderr } }),
)
console.log(JSON.stringify(told))`,
    name,
  )
}

/** Runs one caller to its end. */
export async function launchOnce(scene: Scene, path: string, options: LaunchOptions = {}): Promise<Told> {
  return told(await scene.node(caller(scene, path, options), inScene(scene)))
}

/** Runs many at once. */
export async function launchMany(scene: Scene, count: number, path: string, options: LaunchOptions): Promise<Told[]> {
  const written = caller(scene, path, options)
  const run = () => finished(scene.spawn(process.execPath, [written], inScene(scene)))
  return (await Promise.all(Array.from({ length: count }, run))).map(told)
}

export function told({ code, stdout, stderr }: Result): Told {
  if (code !== 0) throw new Error(`the caller ended with ${code}: ${stderr}`)
  return JSON.parse(stdout)
}
