// Answers a second of two workers, under different masters and alone.
import { median, quantile } from '../support/numbers.js'
import { rotated, rounds } from '../support/rounds.js'
import { nodeCluster, oneProcess, ours, Pm2 } from '../support/supervisors.js'
import { printTable } from '../support/table.js'
import { World } from '../support/world.js'
import { installWrk } from '../support/wrk.js'

const WORKERS = 2
const ROUNDS = 6
const SECONDS = 4
const WARM_UP_SECONDS = 1

export async function measureThroughput(count = ROUNDS, seconds = SECONDS): Promise<void> {
  await using world = new World()
  const wrk = installWrk(world)
  if (!wrk) return
  await using pm2 = Pm2.install(world)
  const alone = oneProcess(world)
  const contenders = [
    ours(world, 'daemonic'),
    ours(world, 'daemonic, reusePort', { REUSE_PORT: 'yes' }),
    nodeCluster(world),
    pm2,
    alone,
  ].filter(each => each !== null)
  const rates = new Map<string, number[]>(contenders.map(({ name }) => [name, []]))
  await rounds(count, 0, async round => {
    for (const contender of rotated(contenders, round)) {
      const running = await contender.start({ workers: contender === alone ? 1 : WORKERS })
      wrk(running.address, WARM_UP_SECONDS)
      rates.get(contender.name)?.push(wrk(running.address, seconds))
      await running.stop()
    }
  })
  const one = rates.get(alone.name) ?? []
  const cluster = rates.get('node:cluster') ?? []
  const ratio = (over: readonly number[], under: readonly number[]) =>
    median(over.map((rate, round) => rate / (under[round] ?? Number.NaN))).toFixed(2)
  printTable(
    `Answers a second, ${WORKERS} workers, ${count} interleaved rounds of ${seconds} s by wrk`,
    ['who', 'median', 'middle half', 'of one process', 'of node:cluster'],
    [...rates].map(([who, values]) => [
      who,
      number(median(values)),
      `${number(quantile(values, 0.25))} to ${number(quantile(values, 0.75))}`,
      ratio(values, one),
      ratio(values, cluster),
    ]),
  )
}

function number(value: number): string {
  return Math.round(value).toLocaleString('en')
}
