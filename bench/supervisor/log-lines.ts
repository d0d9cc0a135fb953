// How many lines a second a worker gets into its log, against a shell's redirection.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { rmSync, statSync } from 'node:fs'
import { now } from '../support/clock.js'
import { Marks, until } from '../support/marks.js'
import { median, quantile, verdict } from '../support/numbers.js'
import { rounds } from '../support/rounds.js'
import { Pm2, supervisord } from '../support/supervisors.js'
import { printTable } from '../support/table.js'
import { IN_BACKGROUND, program, World } from '../support/world.js'

const WARM_UP = 1
const ROUNDS = 12
/** Of others, through which every line passes: enough to see where they are. */
const OTHERS_ROUNDS = 3
const LINES = 200_000
/** A line of programs/writer.ts with its end. */
const BYTES = 100
const LEAST = 0.97

export async function measureLogLines(count = ROUNDS): Promise<void> {
  await using world = new World()
  await using pm2 = Pm2.install(world)
  const supervisor = supervisord(world)
  const log = world.path('writer.log')
  const env = { LINES: String(LINES), LOG: log, SCRIPT: program('writer') }
  const rates = new Map<string, number[]>()
  const add = (who: string, elapsed: number) => rates.set(who, [...(rates.get(who) ?? []), (LINES * 1000) / elapsed])

  const samples = await rounds(count, WARM_UP, async () => ({
    plain: await redirected(world, log, env),
    supervised: await worker(world, log, env),
  }))
  for (const { plain, supervised } of samples) {
    add('redirection', plain)
    add('daemonic', supervised)
  }
  await rounds(OTHERS_ROUNDS, 0, async () => {
    if (pm2) {
      rmSync(log, { force: true })
      const marks = new Marks(world)
      const args = ['start', program('writer'), '--name', 'writer', '-o', log, '-e', log, '--no-autorestart']
      await pm2.run(args, { ...env, MARKS: marks.path })
      add('pm2', await untilWritten(marks, log))
      await pm2.kill()
    }
    if (supervisor) {
      rmSync(log, { force: true })
      const running = await supervisor.start({ workers: 1, env })
      add('supervisord', await untilWritten(running.marks, log))
      await running.stop()
    }
  })
  report(rates, count)
}

function report(rates: ReadonlyMap<string, readonly number[]>, rounds: number): void {
  const plain = rates.get('redirection') ?? []
  const ratios = (rates.get('daemonic') ?? []).map((rate, round) => rate / (plain[round] ?? Number.NaN))
  printTable(
    `Lines of ${BYTES} bytes into a log, ${LINES} at a time: ${rounds} rounds, ${OTHERS_ROUNDS} of others`,
    ['who', 'lines a second', 'of redirection'],
    [...rates].map(([who, values]) => [
      who,
      Math.round(median(values)).toLocaleString('en'),
      (median(values) / median(plain)).toFixed(2),
    ]),
  )
  const middle = `middle half ${quantile(ratios, 0.25).toFixed(2)} to ${quantile(ratios, 0.75).toFixed(2)}`
  console.log(
    `\ndaemonic at least ${LEAST} of redirection: ${verdict(median(ratios) >= LEAST)}, ${median(ratios).toFixed(3)} (${middle})`,
  )
}

async function redirected(world: World, log: string, env: NodeJS.ProcessEnv): Promise<number> {
  rmSync(log, { force: true })
  const marks = new Marks(world)
  const command = 'exec "$@" >>"$LOG" 2>&1'
  const child = spawn('sh', ['-c', command, 'sh', process.execPath, program('writer')], {
    ...IN_BACKGROUND,
    env: world.environment({ ...env, MARKS: marks.path }),
  })
  const elapsed = await written(marks, log)
  await killed(child)
  return elapsed
}

async function worker(world: World, log: string, env: NodeJS.ProcessEnv): Promise<number> {
  rmSync(log, { force: true })
  const marks = new Marks(world)
  await world.run(process.execPath, [program('writer')], { ...env, SUPERVISED: 'yes', MARKS: marks.path })
  const elapsed = await written(marks, log)
  await world.stopDaemon()
  return elapsed
}

/** Where the writer itself writes to the file: the last call has returned when all is in it. */
async function written(marks: Marks, log: string): Promise<number> {
  const [end] = await marks.wait('end')
  const [begin] = marks.named('begin')
  if (statSync(log).size < LINES * BYTES) throw new Error('lines are missing')
  return (end?.time ?? Number.NaN) - (begin?.time ?? Number.NaN)
}

/** Where another process writes for it: when the file has all. */
async function untilWritten(marks: Marks, log: string): Promise<number> {
  const at = await until('all lines are in the log', () =>
    (statSync(log, { throwIfNoEntry: false })?.size ?? 0) >= LINES * BYTES ? now() : undefined,
  )
  return at - (marks.named('begin')[0]?.time ?? Number.NaN)
}

async function killed(child: ChildProcess): Promise<void> {
  const end = once(child, 'exit')
  child.kill('SIGKILL')
  await end
}
