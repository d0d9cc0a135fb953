// `daemonic start`, from its spawn until it has ended and the server listens, against others' commands.

import { readFileSync, rmSync } from 'node:fs'
import { bareStart, emptyRun } from '../support/bare.js'
import { now } from '../support/clock.js'
import { Marks, until } from '../support/marks.js'
import { median, ms, quantile, verdict } from '../support/numbers.js'
import { rounds } from '../support/rounds.js'
import { others, ours, type Starter } from '../support/starters.js'
import { Pm2 } from '../support/supervisors.js'
import { printTable } from '../support/table.js'
import { World } from '../support/world.js'

const WARM_UP = 2
const ROUNDS = 20
const MOST = 2.2
const MOST_OF_PM2 = 0.5

interface Times {
  ready: number
  ended: number
}

export async function measureCommandStart(count = ROUNDS): Promise<void> {
  await using world = new World()
  await using pm2 = Pm2.install(world)
  await pm2?.run(['ping'])
  const starters = [ours(world), ...others(world, pm2)]
  const samples = await rounds(count, WARM_UP, async () => {
    const bare = await bareStart(world, new Marks(world))
    const empty = await emptyRun(world)
    const times: Times[] = []
    for (const starter of starters) times.push(await start(world, starter))
    return { bare, empty, times }
  })
  const times = starters.map(({ name }, which): [string, Times[]] => [
    name,
    samples.flatMap(each => each.times[which] ?? []),
  ])
  const [bare, empty] = [samples.map(each => each.bare), samples.map(each => each.empty)]
  report(starters, bare, empty, new Map(times))
}

function report(
  starters: readonly Starter[],
  bare: readonly number[],
  empty: readonly number[],
  times: ReadonlyMap<string, readonly Times[]>,
): void {
  const row = (what: string, values: readonly number[], ended = '') => {
    const ratios = values.map((value, round) => value / (bare[round] ?? Number.NaN))
    const middle = `${quantile(ratios, 0.25).toFixed(2)} to ${quantile(ratios, 0.75).toFixed(2)}`
    return [what, ms(median(values)), (median(values) / median(bare)).toFixed(2), middle, ended]
  }
  const ready = (name: string) => (times.get(name) ?? []).map(each => each.ready)
  printTable(
    `From a command's spawn until the server is ready: ${bare.length} interleaved rounds`,
    ['what', 'median', 'of a bare start', 'middle half', 'the command ended after'],
    [
      row('the bare server, to listening', bare),
      row('an empty Node program, to its end', empty),
      ...starters.map(({ name, waits }) => {
        const ended = median((times.get(name) ?? []).map(each => each.ended))
        return row(name, ready(name), waits ? 'ready' : ms(ended))
      }),
    ],
  )
  const ratio = median(ready('daemonic')) / median(bare)
  const ofPm2 = median(ready('daemonic')) / median(ready('pm2, warm'))
  console.log(`
at most ${MOST} bare starts: ${verdict(ratio <= MOST)}, ${ratio.toFixed(2)}
at most ${MOST_OF_PM2} of pm2's: ${verdict(ofPm2 <= MOST_OF_PM2)}, ${ofPm2.toFixed(2)}`)
}

async function start(world: World, { start, stop, env = {} }: Starter): Promise<Times> {
  const marks = new Marks(world)
  const [command = '', ...args] = start
  const began = now()
  await world.run(command, args, { ...env, MARKS: marks.path })
  const ended = now() - began
  const [serving] = await marks.wait('serving')
  const listening = (serving?.time ?? Number.NaN) - began
  await end(world, serving?.pid ?? Number.NaN, stop, env)
  return { ready: Math.max(listening, ended), ended }
}

async function end(
  world: World,
  pid: number,
  stop: readonly string[] | undefined,
  env: NodeJS.ProcessEnv,
): Promise<void> {
  if (stop) {
    const [command = '', ...args] = stop
    await world.run(command, args, env)
  } else {
    process.kill(pid, 'SIGKILL')
  }
  await until(`the end of ${pid}`, () => (isAlive(pid) ? undefined : true))
  rmSync(world.path('other.pid'), { force: true })
}

/** A zombie, which some inits reap late, is none. */
function isAlive(pid: number): boolean {
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'))
  } catch {
    return false
  }
}
