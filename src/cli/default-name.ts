// The name of a daemon that was given none.
import { readFileSync, statSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { nameOf } from './library.js'

/** Names that scripts of many projects have, without extension. */
const COMMON = ['index', 'server', 'main', 'app']
const EXTENSION = /\.[cm]?[jt]sx?$/

/**
 * Names the daemon of a script by its base name. For a directory, and for a script that is called like those of many other
 * projects, that is the name in its package.json, without the scope.
 */
export function defaultName(script: string): string {
  const path = resolve(script)
  const isDirectory = statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false
  const base = basename(path).replace(EXTENSION, '')
  if (!isDirectory && !(COMMON.includes(base) && EXTENSION.test(path))) return nameOf(script)
  return nameFrom(packageName(isDirectory ? path : dirname(path))) ?? nameOf(path)
}

/** Returns the name in the nearest package.json from `directory` upwards. */
function packageName(directory: string): unknown {
  for (let at = directory; ; at = dirname(at)) {
    try {
      return (JSON.parse(readFileSync(join(at, 'package.json'), 'utf8')) as { name?: unknown } | null)?.name
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || at === dirname(at)) return undefined
    }
  }
}

/** Makes a name of a package's: `@acme/api` is `api`. A dot in it is no extension. */
function nameFrom(name: unknown): string | undefined {
  if (typeof name !== 'string') return undefined
  const known = (name.split('/').at(-1) ?? '').replaceAll(/[^A-Za-z0-9._-]/g, '_').slice(0, 64)
  return /^\.*$/.test(known) ? undefined : known
}
