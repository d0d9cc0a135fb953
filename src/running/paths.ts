// Where pid files and logs lie by default: run and state directories, of the system for root, else of the user;
// DAEMONIC_RUNTIME_DIR and DAEMONIC_STATE_DIR name others.
import { lstatSync, mkdirSync, readdirSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { DaemonError, during } from '../errors/classes.js'

/** In hexadecimal digits: 48 bits, for the few projects of one user. */
const HASH_LENGTH = 12

/** The pid files in the run directory, ours or not. */
export function pidFilesInRunDirectory(): string[] {
  return readdirIfThere(runDirectory())
    .filter(file => file.endsWith('.pid'))
    .sort()
    .map(runPath)
}

/**
 * The target of a daemon in the run directory, NAME or NAME@HASH: also what its files there are called, without extension.
 * The hash is short, since `instance` may be anything.
 */
export function targetOf(name: string, instance?: string | null): string {
  if (instance === undefined || instance === null) return name
  const { createHash } = process.getBuiltinModule('node:crypto')
  return `${name}@${createHash('sha256').update(instance).digest('hex').slice(0, HASH_LENGTH)}`
}

/** A file in the run directory. */
export function runPath(file: string): string {
  return join(runDirectory(), file)
}

/** The default log of a daemon. */
export function logPath(name: string): string {
  return join(stateDirectory(), `${name}.log`)
}

/** The pid file that `target` names: a name in the run directory or, with a slash, a path. */
export function targetPath(target: string): string {
  return target.includes('/') ? target : runPath(`${target}.pid`)
}

/** The state file beside a pid file: a.pid and a.json. */
export function statePath(pidFile: string): string {
  return `${pidFile.replace(/\.pid$/, '')}.json`
}

/** The supervisor's control socket beside a pid file: a.pid and a.sock. */
export function controlPath(pidFile: string): string {
  return `${pidFile.replace(/\.pid$/, '')}.sock`
}

/** Creates the directory of `path` if it is one of ours; other people's directories are theirs to make. */
export function prepareDirectory(path: string): void {
  const directory = dirname(path)
  if (directory !== runDirectory() && directory !== stateDirectory()) return
  const isRoot = process.geteuid?.() === 0
  during(directory === runDirectory() ? 'pid file create' : 'log', directory, () =>
    mkdirSync(directory, { recursive: true, mode: isRoot ? 0o755 : 0o700 }),
  )
  if (directory !== temporaryRunDirectory()) return
  const { uid } = lstatSync(directory)
  if (uid !== process.geteuid?.() || !lstatSync(directory).isDirectory()) {
    throw new DaemonError(
      `${directory} belongs to another user: set XDG_RUNTIME_DIR, or give \`pidFile\` a path`,
      'EPERM',
    )
  }
}

export function runDirectory(): string {
  if (process.env.DAEMONIC_RUNTIME_DIR) return resolve(process.env.DAEMONIC_RUNTIME_DIR)
  if (process.geteuid?.() === 0) return '/run/daemonic'
  return process.env.XDG_RUNTIME_DIR || temporaryRunDirectory()
}

function temporaryRunDirectory(): string {
  return join(tmpdir(), `daemonic-${process.geteuid?.()}`)
}

export function stateDirectory(): string {
  if (process.env.DAEMONIC_STATE_DIR) return resolve(process.env.DAEMONIC_STATE_DIR)
  if (process.geteuid?.() === 0) return '/var/log/daemonic'
  return join(process.env.XDG_STATE_HOME || join(homedir(), '.local', 'state'), 'daemonic')
}

function readdirIfThere(directory: string): string[] {
  return during('chdir', directory, () => {
    try {
      return readdirSync(directory)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
      throw error
    }
  })
}
