// import: a pm2 ecosystem file, printed as a configuration of ours.
import { basename, dirname, resolve } from 'node:path'
import { contentOf } from './config-file.js'
import { importEcosystem, isEcosystem } from './ecosystem.js'
import type { Invocation } from './invocation.js'
import { type Output, write } from './print.js'
import { UsageError } from './usage.js'

/** Prints the configuration, and notes what could not be taken over. */
export async function importFile({ options, words: [file = ''] }: Invocation, output: Output): Promise<number> {
  const path = resolve(file)
  const content = await contentOf(path)
  if (!isEcosystem(content))
    throw new UsageError(`${basename(path)} has no \`apps\`: it is no ecosystem file`, 'import')
  process.chdir(dirname(path))
  const { daemons, notes } = importEcosystem(content, options.get<string>('env'))
  for (const { text } of notes) output.note(text)
  write(1, `${JSON.stringify({ daemons }, null, 2)}\n`)
  return 0
}
