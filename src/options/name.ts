// What a daemon is called: its process title, its files, and the target of the command.
import { basename, extname } from 'node:path'
import { expected, isName } from './values.js'

/** Validates the `name` option; its default is the name of the running script. @throws OptionError */
export function normaliseName(name: unknown): string {
  if (name === undefined) return nameOf(process.argv[1] ?? process.execPath)
  if (!isName(name)) throw expected('name', 'at most 64 letters, digits, dots, dashes and underscores', name)
  return name
}

/** The default name of a daemon that this script is: its base name, with _ for what a name can't have in it. */
export function nameOf(script: string): string {
  const name = basename(script, extname(script)).replaceAll(/[^A-Za-z0-9._-]/g, '_')
  return name.slice(0, 64).replace(/^\.+$/, '') || 'daemon'
}
