// `daemonic stop`, against a kill that is waited for.
import { PidLock } from 'daemonic'
import { emptyRun } from '../support/bare.js'
import { now } from '../support/clock.js'
import { EndWatch } from '../support/end-watch.js'
import { median, ms, quantile } from '../support/numbers.js'
import { ours } from '../support/starters.js'
import { printTable } from '../support/table.js'
import { World } from '../support/world.js'

const WARM_UP = 2
const ROUNDS = 20

export async function measureCommandStop(rounds = ROUNDS): Promise<void> {
  await using world = new World()
  await using watch = new EndWatch(world)
  const { start, stop } = ours(world)
  const times: Record<'kill' | 'stop' | 'empty', number[]> = { kill: [], stop: [], empty: [] }
  for (let round = -WARM_UP; round < rounds; round++) {
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
    const nothing = await emptyRun(world)
    if (round < 0) continue
    times.kill.push(ended - killed)
    times.stop.push(stopped - called)
    times.empty.push(nothing)
  }
  const row = (what: string, values: readonly number[]) => [
    what,
    ms(median(values)),
    ms(quantile(values, 0.95)),
    (median(values) / median(times.kill)).toFixed(1),
  ]
  const beyond = times.stop.map((time, round) => time - (times.empty[round] ?? Number.NaN))
  printTable(
    `Stopping the plain server, ${rounds} interleaved rounds`,
    ['what', 'median', '95 %', 'of kill-and-wait'],
    [
      row('kill -TERM, to the end of the daemon (its pidfd is readable)', times.kill),
      row('`daemonic stop`, from its spawn to its end', times.stop),
      row('an empty Node program', times.empty),
      row('`daemonic stop` beyond that', beyond),
    ],
  )
}

function run(world: World, argv: readonly string[] = []): Promise<void> {
  const [command = '', ...args] = argv
  return world.run(command, args)
}
