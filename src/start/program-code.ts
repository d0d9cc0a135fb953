// The files whose text a start executes: who can write one of them decides what the program does, as root where it begins so.

import { existsSync } from 'node:fs'
import { constants } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { native } from '../binding/addon.js'
import { SystemCallError } from '../errors/classes.js'
import type { Settings } from '../options/settings.js'
import type { Supervision } from '../options/supervision.js'
import { preloadUrl } from '../process/preload-flag.js'
import type { Program } from '../process/program.js'
import { resolvedScript } from './launched-program.js'
import { warn } from './warnings.js'

/**
 * Lists interpreter, script, what the interpreter's flags and NODE_OPTIONS name (preloads, files of variables), and the
 * package.json by which Node reads the script. What these import is not listed.
 */
export function codeOf(
  { path, arguments: [, ...words], directory, script }: Program,
  { environment }: Pick<Settings, 'environment'>,
): string[] {
  if (script === undefined) return [path]
  const given = environment.find(({ name }) => name === 'NODE_OPTIONS')
  const { value = '' } = given ?? { value: process.env.NODE_OPTIONS }
  const end = words.indexOf(script)
  const flags = [...(end < 0 ? words : words.slice(0, end)), ...value.split(/\s+/)]
  const named = flags.map(flag => fileOf(flag.replace(/^--?[\w-]+=/, ''), directory)).filter(file => file !== null)
  const file = resolvedScript(script)
  const description = packageOf(file)
  return [path, ...named, file, ...(description === null ? [] : [description])]
}

/** Gives the file that a word of the command line names; null if it names none. */
function fileOf(word: string, directory: string): string | null {
  if (word === '' || word.startsWith('-')) return null
  const file = word.startsWith('file:') ? fileURLToPath(word) : resolve(directory, word)
  return existsSync(file) ? file : null
}

/**
 * Refuses a program that would begin as root, at this start and at each restart, and whose code others can change. One that is
 * root for good is warned of: a container's files often belong to a user of the host.
 * @throws SystemCallError EPERM: `path` can be written by others
 */
export function checkCode(settings: Settings, { startAs }: Supervision, program: Program): void {
  if (process.geteuid?.() !== 0) return
  const { name, identity } = settings
  const { user = 0, chroot } = identity.change
  const beginsAsRoot = startAs === 'root' || (chroot !== undefined && program.loadsLibrary !== false)
  if (user !== 0 && !beginsAsRoot) return
  // The warning is about the program: whoever installed this library has its files.
  const preload = preloadUrl()
  const own = preload && fileURLToPath(preload)
  const code = codeOf(program, settings).filter(file => user !== 0 || file !== own)
  const path = native.writableByOthers(code)
  if (path === null) return
  if (user === 0) {
    const advice = 'give it a `user`, or make it root’s alone'
    warn(name, `others than root can write ${path}, and what they write runs as root: ${advice}`)
    return
  }
  const detail = 'others than root can write it, and the program would begin as root (`monitor.startAs`, `chroot`)'
  throw new SystemCallError({ step: 'exec', syscall: 'execve', errno: constants.errno.EPERM, path, detail })
}

/** Finds the package.json that counts for a script: the next one above it. */
function packageOf(script: string): string | null {
  for (let directory = dirname(script); ; directory = dirname(directory)) {
    const file = join(directory, 'package.json')
    if (existsSync(file)) return file
    if (directory === dirname(directory)) return null
  }
}
