// How a program is had: from npm, Debian's archive or PyPI, into a directory of its own under target/, which is used again.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { debianProgram, pythonProgram } from '../bench/support/fetched.js'
import { filesOf } from './page.js'
import type { Program } from './table.js'

/** A program that is there. */
export interface Fetched {
  /** Where its files lie. */
  directory: string
  /** What runs it, where it came from Debian's archive or PyPI. */
  command: readonly string[]
}

export const root = fileURLToPath(new URL('../..', import.meta.url))
const CACHE = join(root, 'target/programs')
/** Milliseconds for an installation and what is prepared after it. */
const PATIENCE = 600_000

/** Fetches the program, unless that was done before. @throws what an installer or a preparation fails with */
export function fetched(program: Program): Fetched {
  const directory = join(CACHE, program.name.replaceAll(/\W+/g, '-').toLowerCase())
  const wanted = JSON.stringify([program.npm, program.apt, program.pip, program.prepare, [...filesOf(program)]])
  const note = join(directory, '.fetched')
  const known = existsSync(note) ? JSON.parse(readFileSync(note, 'utf8')) : undefined
  if (known?.wanted === wanted) return { directory, command: known.command }
  rmSync(directory, { recursive: true, force: true })
  mkdirSync(directory, { recursive: true })
  for (const [name, text] of filesOf(program)) {
    mkdirSync(join(directory, name, '..'), { recursive: true })
    writeFileSync(join(directory, name), text)
  }
  const command = install(program, directory)
  mkdirSync(join(directory, 'node_modules'), { recursive: true })
  symlinkSync(root, join(directory, 'node_modules/daemonic'))
  for (const line of program.prepare ?? []) run('sh', ['-c', line], directory)
  writeFileSync(note, JSON.stringify({ wanted, command }))
  return { directory, command }
}

function install({ npm, apt, pip }: Program, directory: string): readonly string[] {
  const place = { path: (name: string) => join(directory, name) }
  if (apt) return required(apt.program, debianProgram(place, apt.program, apt.libraries))
  if (pip) return required(pip.program, [pythonProgram(place, pip.program, pip.requirement)])
  if (!npm) return []
  const manifest = join(directory, 'package.json')
  if (!existsSync(manifest)) writeFileSync(manifest, '{ "private": true }\n')
  const packages = Object.entries(npm).map(([name, version]) => `${name}@${version}`)
  run('npm', ['install', '--no-audit', '--no-fund', '--prefer-offline', '--loglevel=error', ...packages], directory)
  return []
}

function required(name: string, command: readonly (string | null)[] | null): string[] {
  const words = command?.filter(each => each !== null) ?? []
  if (words.length === 0) throw new Error(`${name} can't be had`)
  return words
}

function run(command: string, args: readonly string[], directory: string): void {
  execFileSync(command, args, { cwd: directory, stdio: ['ignore', 'ignore', 'pipe'], timeout: PATIENCE })
}
