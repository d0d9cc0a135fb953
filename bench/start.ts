// How long a start takes, from the launcher's spawn to its end, beside two bare runs of the same server; and its parts.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, rmSync } from 'node:fs'
import { median, ms, quantile, verdict } from './support/numbers.js'
import { rounds } from './support/rounds.js'
import { printTable } from './support/table.js'
import { isFork, traceStart, upTo } from './support/trace.js'
import { program, World } from './support/world.js'

const WARM_UP = 3
const ROUNDS = 60
const PARTS_ROUNDS = 30
const TRACED_ROUNDS = 10
const TARGET = 1.1

export async function measureStart(count = ROUNDS): Promise<void> {
  await using world = new World()
  const samples = await rounds(count, WARM_UP, async () => {
    const before = await bareRun()
    const start = await daemonRun(world)
    return { bare: before + (await bareRun()), start }
  })
  const bare = samples.map(each => each.bare)
  const ours = samples.map(each => each.start)
  const ratios = ours.map((time, round) => time / (bare[round] ?? Number.NaN))
  const ratio = median(ours) / median(bare)
  const row = (what: string, values: readonly number[]) => [
    what,
    ms(median(values)),
    `${ms(quantile(values, 0.25))} to ${ms(quantile(values, 0.75))}`,
  ]
  printTable(
    `Start to ready, ${count} interleaved rounds`,
    ['what', 'median', 'middle half'],
    [
      row('two bare runs of the server, to listening', bare),
      row('one start, to the end of the launcher', ours),
      [
        `ratio (target: at most ${TARGET}): ${verdict(ratio <= TARGET)}`,
        ratio.toFixed(2),
        `${quantile(ratios, 0.25).toFixed(2)} to ${quantile(ratios, 0.75).toFixed(2)}`,
      ],
    ],
  )
}

/** The parts of a start: by marks that the program writes, and what lies around the fork by strace. */
export async function measureParts(count = PARTS_ROUNDS, traced = TRACED_ROUNDS): Promise<void> {
  await using world = new World()
  const parts = new Map<string, number[]>()
  for (const [what, time] of (await rounds(count, WARM_UP, () => partsOf(world))).flat())
    parts.set(what, [...(parts.get(what) ?? []), time])
  printTable(
    `Parts of a start, ${count} rounds`,
    ['part', 'median'],
    [...parts].map(([what, values]) => [what, ms(median(values))]),
  )
  const traces = await rounds(traced, 0, () => traceRun(world))
  const forks = traces.map(([fork]) => fork)
  const execs = traces.map(([, exec]) => exec)
  printTable(
    `Around the fork, ${traced} rounds under strace (process calls alone)`,
    ['part', 'median'],
    [
      ['first fork to second fork', ms(median(forks), 2)],
      ['second fork to exec', ms(median(execs), 2)],
    ],
  )
}

async function bareRun(): Promise<number> {
  const start = performance.now()
  const child = spawn(process.execPath, [program('bare')], { stdio: ['ignore', 'ignore', 'ignore', 'pipe'] })
  const said = child.stdio[3]
  if (!said) throw new Error('no pipe to the bare server')
  await once(said, 'data')
  const elapsed = performance.now() - start
  child.kill('SIGKILL')
  await once(child, 'close')
  return elapsed
}

async function daemonRun(world: World): Promise<number> {
  const start = performance.now()
  await world.run(process.execPath, [program('daemon')])
  const elapsed = performance.now() - start
  await world.stopDaemon()
  return elapsed
}

async function partsOf(world: World): Promise<[string, number][]> {
  const marks = world.path('marks')
  rmSync(marks, { force: true })
  const spawned = process.hrtime.bigint()
  await world.run(process.execPath, [program('marked')], { MARKS: marks })
  const ended = process.hrtime.bigint()
  await world.stopDaemon()
  const moments = readFileSync(marks, 'utf8')
    .trimEnd()
    .split('\n')
    .map(line => line.split(' '))
  const launcher = moments[0]?.[0]
  const at = (isLauncher: boolean, name: string) => {
    const moment = moments.find(([pid, each]) => (pid === launcher) === isLauncher && each === name)?.[2]
    if (moment === undefined) throw new Error(`no mark '${name}'`)
    return BigInt(moment)
  }
  const between = (from: bigint, to: bigint) => Number(to - from) / 1e6
  return [
    ['launcher: spawn until Node starts', between(spawned, at(true, 'started'))],
    ['launcher: boot of Node, modules read, to the first line', between(at(true, 'started'), at(true, 'code'))],
    ['launcher: imports run, the addon is loaded', between(at(true, 'code'), at(true, 'call'))],
    ['the call, both forks, exec, until Node starts again', between(at(true, 'call'), at(false, 'started'))],
    ['daemon: boot of Node, modules read, to the first line', between(at(false, 'started'), at(false, 'code'))],
    ['daemon: imports run, the addon is loaded', between(at(false, 'code'), at(false, 'call'))],
    ['daemon: the call', between(at(false, 'call'), at(false, 'returned'))],
    ['daemon: serve(), to listening', between(at(false, 'returned'), at(false, 'serving'))],
    ['ready is told, the launcher ends', between(at(false, 'serving'), ended)],
    ['all', between(spawned, ended)],
  ]
}

/** Milliseconds from fork to fork, and from fork to exec. Only process calls stop, so that little time is added. */
async function traceRun(world: World): Promise<[number, number]> {
  const { forked, middle, daemon } = await traceStart(world, ['--seccomp-bpf', '-e', 'trace=%process'])
  const second = middle.find(isFork)?.time ?? Number.NaN
  const exec = upTo('execve', daemon).at(-1)?.time ?? Number.NaN
  return [(second - forked) * 1000, (exec - second) * 1000]
}
