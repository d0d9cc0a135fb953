// Options of launch() as words of a command line: the other way round from ../start-options.ts.
import { OptionError, type StartOptions } from '../library.js'
import { type OptionDefinition, START_OPTIONS } from '../option-table.js'

/** What the service manager does itself: the environment, the user, and the journal in place of a default log. */
const OF_THE_MANAGER = ['name', 'env', 'user', 'group', 'pidFile', 'ifRunning', 'instance', 'preserve', 'chdir']
/** Options without a flag; `args` stand behind the program. */
const WITHOUT_FLAG = ['signals', 'interpreterArgs']

/**
 * Makes the words behind `daemonic run`.
 * @throws OptionError an option can't be said on a line
 */
export function flagsOf(program: string, name: string, options: StartOptions): string[] {
  const given = options as Readonly<Record<string, unknown>>
  for (const key of WITHOUT_FLAG) if (given[key] !== undefined) refuse(key)
  const monitor = typeof given.monitor === 'object' ? (given.monitor as Record<string, unknown>) : {}
  const words = START_OPTIONS.flatMap(option => {
    const { api = '' } = option
    if (api === '' || OF_THE_MANAGER.includes(api)) return []
    if (api === 'monitor') return given.monitor === true ? ['--monitor'] : []
    const value = api.startsWith('monitor.') ? monitor[api.slice('monitor.'.length)] : given[api]
    const isDefault =
      [undefined, null, false, 'inherit'].includes(value as undefined) || (api === 'log' && value === true)
    return isDefault || api === 'interpreter' ? [] : wordsOf(option, value)
  })
  const { interpreter, args = [] } = options
  const by = typeof interpreter === 'string' ? [`--interpreter=${interpreter}`] : []
  return [`--name=${name}`, ...words, ...by, ...(interpreter === null ? ['--'] : []), program, ...args]
}

function wordsOf({ name, kind, api = '' }: OptionDefinition, value: unknown): string[] {
  const word = (text: unknown) => `--${name}=${text}`
  switch (kind) {
    case undefined:
      return [`--${name}`]
    case 'duration':
      return [word(`${value}ms`)]
    case 'octal':
      return typeof value === 'number' ? [word(value.toString(8).padStart(3, '0'))] : []
    case 'list':
      return [word((value as unknown[]).join(','))]
    case 'limit':
      return Object.entries(value as object).map(([key, limit]) => word(`${key}=${limitOf(limit)}`))
    case 'listen':
      return Object.entries(value as object).map(([key, target]) =>
        typeof target === 'object' ? refuse(`listen.${key}`) : word(`${key}=${target}`),
      )
    default:
      return typeof value === 'object' ? refuse(api) : [word(value)]
  }
}

function limitOf(limit: unknown): string {
  if (typeof limit !== 'object' || limit === null) return String(limit)
  const { soft, hard } = limit as { soft?: unknown; hard?: unknown }
  return `${soft ?? hard}:${hard ?? soft}`
}

function refuse(option: string): never {
  throw new OptionError(
    option,
    `The \`${option}\` option has no form for the command line of a unit: let the program give it to daemonize()`,
  )
}
