// Which daemons an invocation means: those that it names, those of a configuration file, or all in the run directory.
import { daemonsFrom, type NamedConfig } from './config-file.js'
import type { Invocation } from './invocation.js'
import { pidFilePath } from './library.js'
import { everyTarget, parseTarget, type Target } from './targets.js'
import { UsageError } from './usage.js'

/**
 * Lists the daemons that the invocation means: at least one, or every daemon of the configuration file.
 * @throws UsageError it names none, or names some beside --all
 */
export async function targetsOf({ command, options, words }: Invocation): Promise<Target[]> {
  const config = options.get<string>('config')
  if (config !== undefined) return (await daemonsFrom(config, words)).map(targetIn)
  if (options.has('all')) {
    if (words.length > 0) throw new UsageError('Expected --all or TARGETs, got both', command.name)
    return everyTarget()
  }
  if (words.length === 0) {
    const or = command.options.some(({ name }) => name === 'all') ? ', or --all' : ''
    throw new UsageError(`Expected at least one TARGET${or}`, command.name)
  }
  return words.map(parseTarget)
}

/** Returns a daemon of a configuration as a target. Relative paths start in the directory to which daemonsFrom() went. */
export function targetIn({ name, config }: NamedConfig): Target {
  const { pidFile, name: ownName = name, instance } = config
  return { ...parseTarget(pidFilePath(pidFile || true, ownName, instance) ?? ''), name }
}
