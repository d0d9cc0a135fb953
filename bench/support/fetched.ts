// What others wrote, fetched into a temporary directory for one measurement. What can't be had is left out, with a message.
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { World } from './world.js'

/** Gives the paths of what is fetched: a World, or a directory that is kept. */
type Place = Pick<World, 'path'>

/** Milliseconds for one installation: some are compiled. */
const INSTALL_TIMEOUT = 180_000
/** Lines of an installer's output that are shown when it fails. */
const LINES_SHOWN = 5

/** Installs a package of npm's; gives the directory that its node_modules is in. */
export function npmPackage(world: Place, name: string, version: string): string | null {
  const prefix = world.path(`npm-${name}`)
  mkdirSync(prefix)
  const args = ['install', '--no-save', '--no-audit', '--no-fund', '--prefix', prefix, `${name}@${version}`]
  return attempt(name, () => {
    execFileSync('npm', args, { cwd: prefix, stdio: ['ignore', 'ignore', 'pipe'], timeout: INSTALL_TIMEOUT })
    return prefix
  })
}

/** A program of a Debian package, as an argv to begin with: the installed one, or unpacked without installing it. */
export function debianProgram(world: Place, name: string, libraries: readonly string[] = []): string[] | null {
  const found = spawnSync('which', [name]).stdout?.toString().trim()
  if (found) return [found]
  const root = world.path(`debian-${name}`)
  mkdirSync(root)
  return attempt(name, () => {
    const options = { cwd: root, stdio: ['ignore', 'ignore', 'pipe'] as const, timeout: INSTALL_TIMEOUT }
    execFileSync('apt-get', ['download', name, ...libraries], { ...options, stdio: ['ignore', 'ignore', 'pipe'] })
    for (const archive of readdirSync(root).filter(file => file.endsWith('.deb')))
      execFileSync('dpkg-deb', ['-x', archive, '.'], { cwd: root, stdio: ['ignore', 'ignore', 'pipe'] })
    const program = ['usr/bin', 'usr/sbin', 'bin'].map(place => join(root, place, name)).find(existsSync)
    if (program === undefined) throw new Error(`the package ${name} has no program of that name`)
    if (libraries.length === 0) return [program]
    const places = readdirSync(join(root, 'usr/lib')).map(place => join(root, 'usr/lib', place))
    return ['env', `LD_LIBRARY_PATH=${places.join(':')}`, program]
  })
}

/** A program of a package of PyPI's, in an environment of its own. */
export function pythonProgram(world: Place, name: string, requirement: string): string | null {
  const root = world.path(`python-${name}`)
  return attempt(name, () => {
    const options = { stdio: ['ignore', 'ignore', 'pipe'] as ['ignore', 'ignore', 'pipe'], timeout: INSTALL_TIMEOUT }
    execFileSync('python3', ['-m', 'venv', root], options)
    execFileSync(join(root, 'bin/pip'), ['install', '--quiet', '--disable-pip-version-check', requirement], options)
    return join(root, 'bin', name)
  })
}

function attempt<T>(name: string, action: () => T): T | null {
  try {
    return action()
  } catch (error) {
    leftOut(name, error)
    return null
  }
}

export function leftOut(name: string, error: unknown): void {
  const { stderr, message } = error as Error & { stderr?: Buffer }
  const why = String(stderr ?? '').trim() || message
  console.log(
    `\n${name} is left out: it can't be installed or loaded.\n${why.split('\n').slice(-LINES_SHOWN).join('\n')}`,
  )
}
