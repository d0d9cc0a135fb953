// What a call of examples/tool-daemon costs beyond Node itself: the first, which starts the daemon, and later ones.
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { median, ms, quantile, verdict } from './support/numbers.js'
import { printTable } from './support/table.js'
import { World } from './support/world.js'

const WARM_UP = 3
const ROUNDS = 60
const FIRST_ROUNDS = 20
/** Milliseconds beyond an empty Node program. */
const TARGET = 60

const CLI = fileURLToPath(new URL('../examples/tool-daemon/cli.js', import.meta.url))

export async function measureToolDaemon(rounds = ROUNDS, firstRounds = FIRST_ROUNDS): Promise<void> {
  await using world = new World()
  const file = world.path('text')
  writeFileSync(file, '\ttext \n'.repeat(1_000))
  const env = { DAEMONIC_RUNTIME_DIR: world.directory }
  const time = async (...args: string[]) => {
    const start = performance.now()
    await world.run(process.execPath, args, env)
    return performance.now() - start
  }
  const bare: number[] = []
  const later: number[] = []
  const first: number[] = []
  try {
    for (let round = -WARM_UP; round < firstRounds; round++) {
      const elapsed = await time(CLI, file)
      await time(CLI, '--stop')
      if (round >= 0) first.push(elapsed)
    }
    for (let round = -WARM_UP; round < rounds; round++) {
      const [empty, call] = [await time('-e', '0'), await time(CLI, file)]
      if (round < 0) continue
      bare.push(empty)
      later.push(call)
    }
  } finally {
    await time(CLI, '--stop')
  }
  const more = later.map((call, round) => call - (bare[round] ?? Number.NaN))
  const row = (what: string, values: readonly number[]) => [
    what,
    ms(median(values)),
    `${ms(quantile(values, 0.25))} to ${ms(quantile(values, 0.75))}`,
  ]
  printTable(
    `A call of a tool with a daemon, ${rounds} interleaved rounds`,
    ['what', 'median', 'middle half'],
    [
      row('an empty Node program', bare),
      row('a later call', later),
      row(`more than the empty one (target: under ${TARGET} ms): ${verdict(median(more) < TARGET)}`, more),
      row(`a first call, which starts the daemon (${firstRounds} rounds)`, first),
    ],
  )
}
