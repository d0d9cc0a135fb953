// Where pid files and logs lie by default: run and state directories, of the system for root, else of the user.
import { lstatSync, mkdirSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { DaemonError, during } from './errors.js'

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
  during('chdir', directory, () => mkdirSync(directory, { recursive: true, mode: isRoot ? 0o755 : 0o700 }))
  if (directory !== temporaryRunDirectory()) return
  const { uid } = lstatSync(directory)
  if (uid !== process.geteuid?.() || !lstatSync(directory).isDirectory()) {
    throw new DaemonError(
      `${directory} belongs to another user: set XDG_RUNTIME_DIR, or give \`pidFile\` a path`,
      'EPERM',
    )
  }
}

function runDirectory(): string {
  if (process.geteuid?.() === 0) return '/run/daemonic'
  return process.env.XDG_RUNTIME_DIR || temporaryRunDirectory()
}

function temporaryRunDirectory(): string {
  return join(tmpdir(), `daemonic-${process.geteuid?.()}`)
}

function stateDirectory(): string {
  if (process.geteuid?.() === 0) return '/var/log/daemonic'
  return join(process.env.XDG_STATE_HOME || join(homedir(), '.local', 'state'), 'daemonic')
}
