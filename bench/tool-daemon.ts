// What a call of examples/tool-daemon costs beyond Node itself: the first, which starts the daemon, and later ones.
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { median, ms, quantile, verdict } from './support/numbers.js'
import { rounds } from './support/rounds.js'
import { printTable } from './support/table.js'
import { World } from './support/world.js'

const WARM_UP = 3
const ROUNDS = 60
const FIRST_ROUNDS = 20
/** Milliseconds beyond an empty Node program. */
const TARGET = 60

const CLI = fileURLToPath(new URL('../examples/tool-daemon/cli.js', import.meta.url))

export async function measureToolDaemon(count = ROUNDS, firstRounds = FIRST_ROUNDS): Promise<void> {
  await using world = new World()
  const file = world.path('text')
  writeFileSync(file, '\ttext \n'.repeat(1_000))
  const env = { DAEMONIC_RUNTIME_DIR: world.directory }
  const time = async (...args: string[]) => {
    const start = performance.now()
    await world.run(process.execPath, args, env)
    return performance.now() - start
  }
  const firstCall = async () => {
    const elapsed = await time(CLI, file)
    await time(CLI, '--stop')
    return elapsed
  }
  const laterCall = async () => ({ empty: await time('-e', '0'), call: await time(CLI, file) })
  let first: number[]
  let samples: Awaited<ReturnType<typeof laterCall>>[]
  try {
    first = await rounds(firstRounds, WARM_UP, firstCall)
    samples = await rounds(count, WARM_UP, laterCall)
  } finally {
    await time(CLI, '--stop')
  }
  const bare = samples.map(({ empty }) => empty)
  const later = samples.map(({ call }) => call)
  const more = samples.map(({ empty, call }) => call - empty)
  const row = (what: string, values: readonly number[]) => [
    what,
    ms(median(values)),
    `${ms(quantile(values, 0.25))} to ${ms(quantile(values, 0.75))}`,
  ]
  printTable(
    `A call of a tool with a daemon, ${count} interleaved rounds`,
    ['what', 'median', 'middle half'],
    [
      row('an empty Node program', bare),
      row('a later call', later),
      row(`more than the empty one (target: under ${TARGET} ms): ${verdict(median(more) < TARGET)}`, more),
      row(`a first call, which starts the daemon (${firstRounds} rounds)`, first),
    ],
  )
}
