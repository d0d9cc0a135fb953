// How soon a worker that was killed has a successor that serves, against the bare start of the same server.

import { bareStart } from '../support/bare.js'
import { now } from '../support/clock.js'
import { Marks } from '../support/marks.js'
import { median, ms, quantile, verdict } from '../support/numbers.js'
import { rounds } from '../support/rounds.js'
import { nodeCluster, ours, Pm2, type Running, supervisord } from '../support/supervisors.js'
import { printTable } from '../support/table.js'
import { World } from '../support/world.js'

const WARM_UP = 2
const ROUNDS = 20
const MOST = 1.2

export async function measureRestart(count = ROUNDS): Promise<void> {
  await using world = new World()
  await using pm2 = Pm2.install(world)
  const contenders = [ours(world), nodeCluster(world), pm2, supervisord(world)].filter(each => each !== null)
  const rows: string[][] = []
  let ratio = Number.NaN
  for (const contender of contenders) {
    const running = await contender.start({ workers: 1 })
    const bareMarks = new Marks(world, 'bare-marks')
    const samples = await rounds(count, WARM_UP, async () => ({
      start: await bareStart(world, bareMarks),
      restart: await restart(running),
    }))
    const bare = samples.map(each => each.start)
    const restarts = samples.map(each => each.restart)
    await running.stop()
    const ratios = restarts.map((time, round) => time / (bare[round] ?? Number.NaN))
    if (contender.name === 'daemonic') ratio = median(restarts) / median(bare)
    rows.push([
      contender.name,
      ms(median(restarts)),
      ms(quantile(restarts, 0.95)),
      ms(median(bare)),
      `${(median(restarts) / median(bare)).toFixed(2)} (${quantile(ratios, 0.25).toFixed(2)} to ${quantile(ratios, 0.75).toFixed(2)})`,
    ])
  }
  printTable(
    `SIGKILL of a worker, to its successor's listening: ${count} rounds, each beside a bare start`,
    ['who', 'median', '95 %', 'bare start', 'ratio (middle half)'],
    rows,
  )
  console.log(`\ndaemonic at most ${MOST} bare starts: ${verdict(ratio <= MOST)}`)
}

async function restart({ marks }: Running): Promise<number> {
  const before = marks.named('serving')
  const killed = now()
  process.kill(before.at(-1)?.pid ?? Number.NaN, 'SIGKILL')
  const after = await marks.wait('serving', before.length + 1)
  return (after.at(-1)?.time ?? Number.NaN) - killed
}
