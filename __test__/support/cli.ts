// The `daemonic` command, from outside: in pipes, and on a terminal of a given size.
import type { ChildProcess } from 'node:child_process'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type { ExecutionContext } from 'ava'
import type { End } from '../fixtures/programs.js'
import { fixture, type Result, type RunOptions, type Scene, script } from './scene.js'

export const CLI = fileURLToPath(new URL('../../cli.cjs', import.meta.url))

/** Run and state directories of the scene's own, for root too; no colours of the test runner's. */
export function cliEnvironment(scene: Scene): Record<string, string | undefined> {
  return {
    DAEMONIC_RUNTIME_DIR: scene.path('run'),
    DAEMONIC_STATE_DIR: scene.path('state'),
    NO_COLOR: undefined,
    FORCE_COLOR: undefined,
  }
}

export function cli(scene: Scene, args: readonly string[], run: RunOptions = {}): Promise<Result> {
  return scene.run(process.execPath, [CLI, ...args], withEnvironment(scene, run))
}

export function spawnCli(scene: Scene, args: readonly string[], run: RunOptions = {}): ChildProcess {
  return scene.spawn(process.execPath, [CLI, ...args], withEnvironment(scene, run))
}

function withEnvironment(scene: Scene, run: RunOptions): RunOptions {
  return { ...run, env: { ...cliEnvironment(scene), ...run.env } }
}

export interface TerminalOptions extends RunOptions {
  columns?: number
  rows?: number
  /** What is typed, each once something is on the screen. */
  dialog?: readonly (readonly [seen: string, typed: string])[]
}

/** Runs it on a pseudo-terminal; what is on that is `stdout`. */
export function cliOnTerminal(scene: Scene, args: readonly string[], options: TerminalOptions = {}): Promise<Result> {
  const { columns = 80, rows = 24, dialog = [] } = options
  const given = [String(columns), String(rows), JSON.stringify(dialog)]
  const env = { TERM: 'xterm-256color', ...options.env }
  return scene.run(
    'python3',
    [script('on-terminal.py'), ...given, process.execPath, CLI, ...args],
    withEnvironment(scene, { ...options, env }),
  )
}

/** Puts a script of fixtures/scripts into the scene under a name of its own; gives its path. */
export function place(scene: Scene, what: string, name: string): string {
  return scene.entry(name, [fixture(`scripts/${what}`)])[0]
}

/** Writes a script that ends so. */
export function placeEnding(scene: Scene, name: string, how: End): string {
  return scene.write(
    name,
    `import { end } from '${pathToFileURL(fixture('programs'))}'\nawait end(${JSON.stringify(how)})\n`,
  )
}

/** Starts the server as `name`; gives its pid. */
export async function started(scene: Scene, name = 'web', options: readonly string[] = []): Promise<number> {
  const script = place(scene, 'server', `${name}.mjs`)
  const { code, stdout, stderr } = await cli(scene, ['start', '--json', ...options, script])
  if (code !== 0) throw new Error(`start ended with ${code}: ${stderr}`)
  return JSON.parse(stdout).pid
}

/** The worker of a daemon that `start` started: the program itself. */
export async function workerOf(scene: Scene, name: string): Promise<number> {
  const { stdout } = await cli(scene, ['status', '--json', name])
  return JSON.parse(stdout).daemons[0].workers[0].pid
}

/** What a program wrote into its log, without what the supervisor did. */
export function ownLines(scene: Scene, log: string): string[] {
  const lines = scene.exists(log) ? scene.read(log).split('\n').slice(0, -1) : []
  return lines.filter(line => !/^\S+Z [\w.-]+\[\d+\] /.test(line))
}

/** No message of ours is a stack trace. */
export function isReadable(t: ExecutionContext, { stderr }: Result): void {
  t.notRegex(stderr, /^\s+at .*:\d+:\d+\)?$/m)
  t.notRegex(stderr, /node:internal/)
}
