// Options of start and run, as launch() takes them.
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { parseEnv } from 'node:util'
import { type OptionValues, type StartOptions, targetOf } from './library.js'
import { type OptionDefinition, START_OPTIONS } from './option-table.js'
import type { Assignment } from './parse-value.js'
import { UsageError } from './usage.js'

/**
 * Makes options of launch() of those that are given. `isProgram`: what is started is no script, of which nothing says that it
 * speaks HTTP. Relative paths start in the present directory. @throws UsageError
 */
export function launchOptions(options: OptionValues, isProgram = false): StartOptions {
  const plain: Record<string, unknown> = {}
  for (const option of START_OPTIONS) {
    const { name, api, repeatable } = option
    if (api === undefined || api === 'monitor' || api.includes('.') || repeatable || !options.has(name)) continue
    plain[api] = absolute(option, options.get(name))
  }
  return {
    ...plain,
    ...present('env', environment(options)),
    ...present('listen', listen(options, isProgram || options.has('interpreter') ? 'tcp' : 'http')),
    ...present('limits', limits(options)),
    ...present('interpreterArgs', interpreterArgs(options)),
    ...(options.has('preserve') && { preserve: options.all<number>('preserve') }),
  }
}

/**
 * Takes over the pid file that is named, or the default one. A file in the run directory stays a bare name, as the user
 * gives it: a later restart may find another run directory.
 */
export function overwriting({ pidFile, instance }: StartOptions, name: string): StartOptions {
  if (typeof pidFile === 'object') return { pidFile: { ...pidFile, overwrite: true } }
  const path = typeof pidFile === 'string' ? pidFile : `${targetOf(name, instance)}.pid`
  return { pidFile: { path, overwrite: true } }
}

/** Makes paths absolute: those of a configuration start elsewhere. */
function absolute({ name, kind }: OptionDefinition, value: unknown): unknown {
  if (typeof value !== 'string') return value
  const isPath =
    kind === 'path' || (kind === 'stream' && /[/.]/.test(value)) || (name === 'pid-file' && value.includes('/'))
  return isPath ? resolve(value) : value
}

function environment(options: OptionValues): Record<string, string | undefined> {
  const fromFiles = options.all<string>('env-file').map(readEnvironment)
  const assigned = options.all<Assignment>('env').map(({ name, value }) => ({ [name]: value }))
  return Object.assign({}, ...fromFiles, ...assigned)
}

function readEnvironment(path: string): object {
  try {
    return parseEnv(readFileSync(path, 'utf8'))
  } catch (error) {
    throw new UsageError(`--env-file ${path} can't be read: ${(error as Error).message}`)
  }
}

/** Lists the interpreter's arguments: modules first, as Node.js loads them before all else. */
function interpreterArgs(options: OptionValues): string[] {
  return [
    ...options.all<string>('import').flatMap(module => ['--import', module]),
    ...options.all<string>('node-args').flatMap(each => each.split(/\s+/).filter(Boolean)),
    ...options.all<string>('interpreter-arg'),
  ]
}

/** Sockets by name. Those without a name are called `unnamedAs`, as http, http2, http3 and so on. */
function listen(options: OptionValues, unnamedAs: string): Record<string, string> {
  const sockets: Record<string, string> = {}
  let unnamed = 0
  for (const { name, address } of options.all<{ name?: string; address: string }>('listen')) {
    if (name === undefined) unnamed += 1
    const key = name ?? (unnamed === 1 ? unnamedAs : `${unnamedAs}${unnamed}`)
    if (key in sockets) throw new UsageError(`Expected the sockets of --listen to differ in name, got '${key}' twice`)
    sockets[key] = address
  }
  return sockets
}

function limits(options: OptionValues): Record<string, unknown> {
  const given = options.all<{ name: string; limit: unknown }>('limit')
  return Object.fromEntries(given.map(({ name, limit }) => [name, limit]))
}

/**
 * The `monitor` option: what the line says, over what a configuration says. An option that only watches, such as --watchdog,
 * doesn't make the supervisor restart anything.
 */
export function monitorOf(options: OptionValues, config: StartOptions = {}): StartOptions['monitor'] {
  const parts = START_OPTIONS.filter(({ name, api }) => api?.startsWith('monitor.') && options.has(name))
  const given = Object.fromEntries(
    parts.map(({ name, api = '', isNegation }) => [
      api.replace('monitor.', ''),
      isNegation ? false : options.get(name),
    ]),
  )
  const own = typeof config.monitor === 'object' ? config.monitor : {}
  if (options.has('monitor')) return { ...own, restart: 'on-failure', ...given }
  if (parts.length === 0) return config.monitor
  const isRestarted = Boolean(config.monitor) || config.workers !== undefined || options.has('workers')
  return isRestarted ? { ...own, ...given } : { restart: 'no', ...given }
}

function present<K extends string, V extends object>(key: K, value: V | undefined): { [P in K]?: V } {
  return value !== undefined && Object.keys(value).length > 0 ? ({ [key]: value } as { [P in K]?: V }) : {}
}
