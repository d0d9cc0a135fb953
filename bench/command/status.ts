// `daemonic status` of many daemons.
import { launch, stop } from 'daemonic'
import { now } from '../support/clock.js'
import { daemonic } from '../support/command.js'
import { median, ms, verdict } from '../support/numbers.js'
import { rounds } from '../support/rounds.js'
import { printTable } from '../support/table.js'
import { World } from '../support/world.js'

const COUNTS = [1, 100, 1_000]
const ROUNDS = 7
/** Started and ended at a time. */
const AT_A_TIME = 20
const MOST_MS = 1
/** What one costs among a thousand, against one among a hundred. */
const MOST_GROWTH = 1.5

export async function measureCommandStatus(counts = COUNTS, times = ROUNDS): Promise<void> {
  await using world = new World()
  const targets = Array.from({ length: Math.max(...counts) }, (_, each) => world.path(`${each}.pid`))
  const [command = '', ...first] = daemonic()
  const medians = new Map<number, number>()
  try {
    await each(targets, pidFile =>
      launch('sleep', { interpreter: null, args: ['1000000'], name: 'sleep', pidFile, log: 'ignore' }),
    )
    for (const count of counts) {
      const samples = await rounds(times, 0, async () => {
        const began = now()
        await world.run(command, [...first, 'status', '--json', ...targets.slice(0, count)])
        return now() - began
      })
      medians.set(count, median(samples))
    }
  } finally {
    await each(targets, target => stop(target, { signal: 'SIGKILL' }))
  }
  report(medians)
}

function report(medians: ReadonlyMap<number, number>): void {
  const base = medians.get(1) ?? Number.NaN
  const cost = (count: number) => ((medians.get(count) ?? Number.NaN) - base) / (count - 1)
  const more = [...medians.keys()].filter(count => count > 1)
  printTable(
    '`daemonic status --json` of daemons that sleep',
    ['daemons', 'median', 'each beyond the first'],
    [...medians].map(([count, time]) => [count.toLocaleString('en'), ms(time), count > 1 ? ms(cost(count), 2) : '']),
  )
  const costs = more.map(cost)
  const linear = Math.max(...costs) <= Math.min(...costs) * MOST_GROWTH
  console.log(`
under ${MOST_MS} ms each: ${verdict(costs.every(each => each < MOST_MS))}
linear (each within ${MOST_GROWTH} of the others): ${verdict(linear)}`)
}

async function each<T>(targets: readonly T[], action: (target: T) => Promise<unknown>): Promise<void> {
  for (let from = 0; from < targets.length; from += AT_A_TIME)
    await Promise.all(targets.slice(from, from + AT_A_TIME).map(action))
}
