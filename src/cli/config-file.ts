// A configuration file: which daemons there are, and how each is started.
import { existsSync, readFileSync } from 'node:fs'
import { basename, dirname, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { importEcosystem, isEcosystem } from './ecosystem.js'
import {
  type Config,
  type DaemonConfig,
  entries,
  LAUNCH_OPTIONS,
  OptionError,
  refuseUnknown,
  show,
  suggestion,
} from './library.js'
import { UsageError } from './usage.js'

/** A daemon of a configuration, and its key there. */
export interface NamedConfig {
  name: string
  config: DaemonConfig
}

/** What a daemon of a configuration may have. */
const KEYS: readonly string[] = ['script', 'program', ...LAUNCH_OPTIONS]

/** Which daemons of which file are meant. */
export interface FileChoice {
  file: string
  /** Empty: all of them. */
  names: readonly string[]
  /** The `env_…` of a pm2 ecosystem file. */
  environment?: string | undefined
}

/**
 * Reads the daemons of these names, or all. The process goes to the file's directory, where relative paths in it start. What
 * of a pm2 ecosystem file can't be taken over is `note`d.
 * @throws UsageError
 */
export async function daemonsFrom(
  choice: FileChoice,
  note: (message: string) => void = () => {},
): Promise<NamedConfig[]> {
  const { file, names } = choice
  const path = resolve(file)
  const content = await contentOf(path)
  process.chdir(dirname(path))
  const daemons = daemonsIn(content, basename(path), choice, note)
  const chosen = names.length > 0 ? names : Object.keys(daemons)
  return chosen.map(name => {
    const config = daemons[name]
    if (!config) throw new UsageError(`${file} has no daemon '${name}'${suggestion(name, Object.keys(daemons))}`)
    return { name, config }
  })
}

/** Reads a configuration or an ecosystem file, not checked yet. @throws UsageError it can't be read */
export function contentOf(path: string): Promise<unknown> {
  return path.endsWith('.json') ? Promise.resolve(parsed(path)) : imported(path)
}

/** Tells whether a word of the command line, where a script or a target may stand, is a file of daemons. */
export async function isDaemonsFile(word: string): Promise<boolean> {
  if (!/(\.config\.[cm]?js|\.json)$/.test(word) || !existsSync(word)) return false
  const content = await contentOf(resolve(word))
  return isEcosystem(content) || (typeof content === 'object' && content !== null && 'daemons' in content)
}

function daemonsIn(
  content: unknown,
  file: string,
  { names, environment }: FileChoice,
  note: (message: string) => void,
): Readonly<Record<string, DaemonConfig>> {
  try {
    if (isEcosystem(content)) {
      const isChosen = (name: string) => names.length === 0 || names.includes(name)
      const { daemons, notes } = importEcosystem(content, environment)
      for (const { of, text } of notes) if (of === null || isChosen(of)) note(text)
      for (const [name, daemon] of Object.entries(daemons)) check(name, daemon)
      return daemons
    }
    const config = Object.fromEntries(entries('config', content)) as Partial<Config>
    refuseUnknown('', Object.keys(config), ['daemons'])
    const daemons = Object.fromEntries(entries('daemons', config.daemons))
    if (Object.keys(daemons).length === 0) throw new OptionError('daemons', 'Expected at least one daemon in `daemons`')
    for (const [name, daemon] of Object.entries(daemons)) check(name, daemon)
    return daemons as Record<string, DaemonConfig>
  } catch (error) {
    throw error instanceof OptionError ? new UsageError(`${file}: ${error.message}`) : error
  }
}

function check(name: string, daemon: unknown): void {
  const given = Object.fromEntries(entries(`daemons.${name}`, daemon)) as DaemonConfig
  refuseUnknown(`daemons.${name}`, Object.keys(given), KEYS)
  const { script, program } = given
  if ((script === undefined) === (program === undefined)) {
    throw new OptionError(`daemons.${name}`, `Expected \`daemons.${name}\` to have a \`script\` or a \`program\``)
  }
  const what = script ?? program
  if (typeof what !== 'string' || what === '') {
    throw new OptionError(`daemons.${name}`, `Expected what \`daemons.${name}\` runs to be a path, got ${show(what)}`)
  }
}

function parsed(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8'))
  } catch (error) {
    throw unreadable(path, error)
  }
}

async function imported(path: string): Promise<unknown> {
  try {
    const module: { default?: unknown } = await import(pathToFileURL(path).href)
    return module.default
  } catch (error) {
    throw unreadable(path, error)
  }
}

function unreadable(path: string, error: unknown): UsageError {
  const { message, code } = error as NodeJS.ErrnoException
  const isMissing = code === 'ENOENT' || (code === 'ERR_MODULE_NOT_FOUND' && message.includes(path))
  const why = isMissing ? 'there is no such file' : message
  return new UsageError(`${path} can't be read: ${why}`)
}
