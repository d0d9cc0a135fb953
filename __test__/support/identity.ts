// Starting daemons that become somebody else, and who they are by /proc.
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import type { DaemonizeOptions } from 'daemonic'
import type { Programs } from '../fixtures/identity.js'
import { programs, type Scene } from './scene.js'

/** Ids without an account. */
export const STRANGER = 54_321
/** What a caller has that no daemon of another user may keep. */
const CALLERS_GROUPS = '4,20,27'

export const identity = programs<Programs>('identity')

type Becoming = keyof Programs &
  ('stays' | 'staysWithThreads' | 'triesToBeRootAgain' | 'writesItsDirectory' | 'tellsItsExitCode')

/** Starts a program by a caller with groups of its own; gives the daemon's pid. */
export async function start(scene: Scene, options: DaemonizeOptions, does: Becoming = 'stays'): Promise<number> {
  const argv = [process.execPath, ...identity(does, options)]
  const { code, stderr } = await scene.run('setpriv', ['--groups', CALLERS_GROUPS, ...argv])
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

/** A daemon with everything that could be left; options as a JavaScript program may give them. */
export const withEverything = (options: object) =>
  identity('stays', { listen: { web: './d.sock' }, ready: 'loaded', ...options })
