// Which daemons an invocation means: those that it names, those of a configuration file, or all in the run directory.
import { namesFrom } from './config-file.js'
import type { Invocation } from './parse.js'
import { everyTarget, parseTarget, type Target } from './targets.js'
import { UsageError } from './usage.js'

/**
 * Lists the daemons that the invocation means: at least one, or every daemon of the configuration file.
 * @throws UsageError it names none, or names some beside --all
 */
export async function targetsOf({ command, options, words }: Invocation): Promise<Target[]> {
  const config = options.get<string>('config')
  if (config !== undefined) return namesFrom(config, words)
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
