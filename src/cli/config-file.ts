// A configuration file: which daemons there are, and how each is started.
import { readFileSync } from 'node:fs'
import { basename, dirname, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
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

/**
 * Reads the daemons of these names, or all. The process goes to the file's directory, where relative paths in it start.
 * @throws UsageError
 */
export async function daemonsFrom(file: string, names: readonly string[]): Promise<NamedConfig[]> {
  const path = resolve(file)
  const daemons = await load(path)
  const chosen = names.length > 0 ? names : Object.keys(daemons)
  const found = chosen.map(name => {
    const config = daemons[name]
    if (!config) throw new UsageError(`${file} has no daemon '${name}'${suggestion(name, Object.keys(daemons))}`)
    return { name, config }
  })
  process.chdir(dirname(path))
  return found
}

async function load(path: string): Promise<Readonly<Record<string, DaemonConfig>>> {
  const content = path.endsWith('.json') ? parsed(path) : await imported(path)
  const file = basename(path)
  const told = <T>(action: () => T): T => {
    try {
      return action()
    } catch (error) {
      throw error instanceof OptionError ? new UsageError(`${file}: ${error.message}`) : error
    }
  }
  return told(() => {
    const config = Object.fromEntries(entries('config', content)) as Partial<Config>
    refuseUnknown('', Object.keys(config), ['daemons'])
    const daemons = Object.fromEntries(entries('daemons', config.daemons))
    if (Object.keys(daemons).length === 0) throw new OptionError('daemons', 'Expected at least one daemon in `daemons`')
    for (const [name, daemon] of Object.entries(daemons)) check(name, daemon)
    return daemons as Record<string, DaemonConfig>
  })
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
  return new UsageError(`--config ${path} can't be read: ${why}`)
}
