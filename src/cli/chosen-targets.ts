// Which daemons an invocation means: those that it names, those of a configuration file, or all in the run directory.
import { daemonsFrom, type NamedConfig } from './config-file.js'
import type { Invocation } from './invocation.js'
import { pidFilePath } from './library.js'
import { everyTarget, isRunning, parseTarget, type Target } from './targets.js'
import { UsageError } from './usage.js'

/**
 * Lists the daemons that the invocation means: at least one, every daemon of the configuration file or, with --all or the word
 * `all`, those in the run directory that the verb has something to do with.
 * @throws UsageError it names none, or names some beside --all
 */
export async function targetsOf({ command, options, words }: Invocation): Promise<Target[]> {
  const config = options.get<string>('config')
  if (config !== undefined) return (await daemonsFrom(config, words)).map(targetIn)
  if (options.has('all') && words.length > 0) throw new UsageError('Expected --all or TARGETs, got both', command.name)
  const takesAll = command.options.some(({ name }) => name === 'all')
  if (options.has('all') || (takesAll && words.length === 1 && words[0] === 'all' && !isKnown('all'))) {
    return command.name === 'restart' ? everyTarget() : everyTarget().filter(isRunning)
  }
  if (words.length === 0) {
    throw new UsageError(`Expected at least one TARGET${takesAll ? ', or --all' : ''}`, command.name)
  }
  return words.map(parseTarget)
}

/** Tells whether a daemon has this name, so that the word means it. */
function isKnown(word: string): boolean {
  return everyTarget().some(({ name }) => name === word)
}

/** Returns a daemon of a configuration as a target. Relative paths start in the directory to which daemonsFrom() went. */
export function targetIn({ name, config }: NamedConfig): Target {
  const { pidFile, name: ownName = name, instance } = config
  return { ...parseTarget(pidFilePath(pidFile || true, ownName, instance) ?? ''), name }
}
