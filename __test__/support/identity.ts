// Starting daemons that become somebody else, and who they are by /proc.
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { inspect } from 'node:util'
import type { ExecutionContext } from 'ava'
import type { DaemonizeOptions } from 'daemonic'
import { STAY } from './locks.js'
import { program } from './program.js'
import type { RunOptions, Scene } from './scene.js'

/** Ids without an account. */
export const STRANGER = 54_321
/** What a caller has that no daemon of another user may keep. */
const CALLERS_GROUPS = '4,20,27'

/** Threads that were there before the call: libuv's four, and a worker's. */
export const THREADS = `import { Worker } from 'node:worker_threads'
await Promise.all([1, 2, 3, 4].map(() => fs.promises.stat('/')))
await new Promise(resolve => new Worker('setInterval(() => {}, 1_000_000)', { eval: true }).on('online', resolve))
`

export const call = (options: object) => `const daemon = daemonize(${inspect(options, { depth: null })});`

/** Starts a program by a caller with groups of its own; gives the daemon's pid. */
export async function start(scene: Scene, options: DaemonizeOptions, text = '', before = ''): Promise<number> {
  const path = program(scene, `${before}${call({ pidFile: './d.pid', ...options })} ${text}\n${STAY}`)
  const { code, stderr } = await scene.run('setpriv', ['--groups', CALLERS_GROUPS, process.execPath, path])
  if (code !== 0) throw new Error(`the launcher ended with ${code}: ${stderr}`)
  return Number(scene.read('d.pid'))
}

/** Lines of /proc/PID/status that all threads share; a line of each that doesn't agree. */
export function ofAllThreads(pid: number, ...names: string[]): string[][] {
  const statuses = readdirSync(`/proc/${pid}/task`).map(thread =>
    readFileSync(`/proc/${pid}/task/${thread}/status`, 'utf8').split('\n'),
  )
  return names.map(name => {
    const lines = statuses.map(status => status.find(line => line.startsWith(`${name}:`)) ?? '')
    return [...new Set(lines.map(line => line.replace(/^\w+:\s*/, '').trim()))]
  })
}

/** What id(1) says of a user. */
export const idOf = (flag: '-g' | '-G', name: string) => execFileSync('id', [flag, name], { encoding: 'utf8' }).trim()

/** The groups in the kernel's order. */
export const sorted = (groups: string) =>
  groups
    .split(' ')
    .map(Number)
    .sort((a, b) => a - b)
    .join(' ')

/** The account of this host that is in most groups. */
export function sociable(): string {
  const names = readFileSync('/etc/passwd', 'utf8')
    .trim()
    .split('\n')
    .map(line => line.split(':')[0] ?? '')
  return (
    names
      .filter(name => name !== 'root')
      .sort((a, b) => idOf('-G', b).split(' ').length - idOf('-G', a).split(' ').length)[0] ?? 'nobody'
  )
}

/** A start that is refused, and leaves nothing. */
export async function refused(
  t: ExecutionContext,
  scene: Scene,
  options: object,
  says: RegExp,
  code: number,
  run: RunOptions = {},
) {
  const text = `${call({ pidFile: './d.pid', listen: { web: './d.sock' }, ...options })} ${STAY}`
  const path = program(scene, text)
  const before = scene.files()
  const result = await scene.node(path, run)
  t.deepEqual(scene.processes(), [], 'processes left')
  t.regex(result.stderr, says)
  t.is(result.code, code)
  t.deepEqual(scene.files(), before)
}
