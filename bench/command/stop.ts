// `daemonic stop`, against a kill that is waited for.
import { PidLock } from 'daemonic'
import { emptyRun } from '../support/bare.js'
import { now } from '../support/clock.js'
import { EndWatch } from '../support/end-watch.js'
import { median, ms, quantile } from '../support/numbers.js'
import { rounds } from '../support/rounds.js'
import { ours } from '../support/starters.js'
import { printTable } from '../support/table.js'
import { World } from '../support/world.js'

const WARM_UP = 2
const ROUNDS = 20

export async function measureCommandStop(count = ROUNDS): Promise<void> {
  await using world = new World()
  await using watch = new EndWatch(world)
  const { start, stop } = ours(world)
  const samples = await rounds(count, WARM_UP, async () => {
    await run(world, start)
    const { pid } = PidLock.inspect(world.pidFile)
    const { end } = await watch.watch(pid ?? 0)
    const killed = now()
    process.kill(pid ?? Number.NaN, 'SIGTERM')
    const ended = await end

    await run(world, start)
    const called = now()
    await run(world, stop)
    const stopped = now()
    return { kill: ended - killed, stop: stopped - called, empty: await emptyRun(world) }
  })
  const kills = samples.map(each => each.kill)
  const row = (what: string, values: readonly number[]) => [
    what,
    ms(median(values)),
    ms(quantile(values, 0.95)),
    (median(values) / median(kills)).toFixed(1),
  ]
  printTable(
    `Stopping the plain server, ${count} interleaved rounds`,
    ['what', 'median', '95 %', 'of kill-and-wait'],
    [
      row('kill -TERM, to the end of the daemon (its pidfd is readable)', kills),
      row(
        '`daemonic stop`, from its spawn to its end',
        samples.map(each => each.stop),
      ),
      row(
        'an empty Node program',
        samples.map(each => each.empty),
      ),
      row(
        '`daemonic stop` beyond that',
        samples.map(each => each.stop - each.empty),
      ),
    ],
  )
}

function run(world: World, argv: readonly string[] = []): Promise<void> {
  const [command = '', ...args] = argv
  return world.run(command, args)
}
