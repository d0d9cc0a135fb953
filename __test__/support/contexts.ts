// Programs that tell in which context they find themselves, and whether they detach there.
import type { ExecutionContext } from 'ava'
import type { DetachContext } from 'daemonic'
import type { Programs } from '../fixtures/contexts.js'
import { programs, type RunOptions, type Scene } from './scene.js'

export const contexts = programs<Programs>('contexts')

/** What the test runner may have inherited from a supervisor of its own: unset. */
export const UNSUPERVISED = {
  SYSTEMD_EXEC_PID: undefined,
  LISTEN_PID: undefined,
  LISTEN_FDS: undefined,
  JOURNAL_STREAM: undefined,
  NOTIFY_SOCKET: undefined,
  XPC_SERVICE_NAME: undefined,
  WATCH_REPORT_DEPENDENCIES: undefined,
  NODE_OPTIONS: undefined,
}

/** How programs start whose context is looked at. */
export const AUTO = { detach: 'auto', env: UNSUPERVISED } as const satisfies RunOptions

export interface Told {
  context: DetachContext | null
  detached: boolean
  cwd: string
  pid: number
}

/** Whole lines alone: one may be half written. */
export function lines(scene: Scene, file: string): string[] {
  return scene.exists(file) ? scene.read(file).split('\n').slice(0, -1) : []
}

/** What a program tells that becomes a daemon, once it has. */
export async function told(scene: Scene): Promise<Told> {
  const line = await scene.until('it has told what it became', () => lines(scene, 'told')[0])
  return { context: JSON.parse(lines(scene, 'contexts')[0] ?? ''), ...JSON.parse(line) }
}

/** Starts one in a session of its own by a shell's command, in which "$@" is the program; gives what it tells. */
export async function toldBy(scene: Scene, command: string, run: RunOptions = {}): Promise<Told> {
  const argv = [process.execPath, ...contexts('tells')]
  const shell = scene.spawn('setsid', ['-w', 'sh', '-c', command, 'sh', ...argv], { ...AUTO, ...run })
  shell.stdout?.resume()
  shell.stderr?.resume()
  return told(scene)
}

/** It detaches where nothing supervises it, and moves only then. */
export function isAsExpected(
  t: ExecutionContext,
  scene: Scene,
  { context, detached, cwd }: Told,
  expected: DetachContext | null,
) {
  t.is(context, expected)
  t.is(detached, expected === null)
  t.is(cwd, detached ? '/' : scene.directory)
}
