// stop(): how soon after the daemon's end it returns, and what it sends.
import { execFileSync } from 'node:child_process'
import { readFileSync, rmSync } from 'node:fs'
import { PidLock, stop } from 'daemonic'
import { now } from '../support/clock.js'
import { EndWatch } from '../support/end-watch.js'
import { median, ms, quantile, verdict } from '../support/numbers.js'
import { rounds } from '../support/rounds.js'
import { printTable } from '../support/table.js'
import { program, World } from '../support/world.js'

const WARM_UP = 2
const ROUNDS = 40
const LONGEST_MS = 3
/** Milliseconds that a daemon takes to end while its signals are counted: who sent one every 0.1 s would send ten. */
const SLOW = 1000

export async function measureStop(count = ROUNDS): Promise<void> {
  await using world = new World()
  await using watch = new EndWatch(world)
  const stops = await rounds(count, WARM_UP, () => stopOnce(world, watch))
  const row = (what: string, from: keyof Stop, to: keyof Stop, longest = Number.POSITIVE_INFINITY) => {
    const values = stops.map(each => each[to] - each[from])
    const target =
      longest < Number.POSITIVE_INFINITY ? `at most ${longest} ms: ${verdict(median(values) <= longest)}` : ''
    return [what, ms(median(values), 2), ms(quantile(values, 0.95), 2), target]
  }
  printTable(
    `stop() of a daemon that exits at once, ${count} rounds`,
    ['from, to', 'median', '95 %', 'target'],
    [
      row('stop() is called, to its return', 'called', 'returned'),
      row("of it: to the daemon's last line of JavaScript", 'called', 'last'),
      row('of it: Node and the kernel end the process (its pidfd is readable)', 'last', 'ended'),
      row('of it: to the return of stop()', 'ended', 'returned', LONGEST_MS),
    ],
  )
  await countSignals(world)
}

interface Stop {
  called: number
  last: number
  ended: number
  returned: number
}

async function stopOnce(world: World, watch: EndWatch): Promise<Stop> {
  const marks = world.path('marks')
  rmSync(marks, { force: true })
  await world.run(process.execPath, [program('ending')], { MARKS: marks })
  const { end } = await watch.watch(PidLock.inspect(world.pidFile).pid ?? 0)
  const called = now()
  await stop(world.pidFile)
  const returned = now()
  const ended = await end
  const last = /^\d+ exit (\d+)$/m.exec(readFileSync(marks, 'utf8'))?.[1]
  return { called, last: Number(last) / 1e6, ended, returned }
}

/** Counts by strace, for a daemon that takes its time. */
async function countSignals(world: World): Promise<void> {
  const trace = world.path('signals')
  await world.run(process.execPath, [program('ending')], { ENDS_AFTER: String(SLOW) })
  const filter = 'trace=pidfd_send_signal,kill,poll,ppoll'
  const command = ['-f', '-e', filter, '-o', trace, process.execPath, program('stopper')]
  execFileSync('strace', command, { stdio: 'ignore', env: world.environment() })
  const lines = readFileSync(trace, 'utf8').split('\n')
  const signals = lines.filter(line => /^\d+\s+(pidfd_send_signal|kill)\(/.test(line))
  const [first = ''] = signals
  const thread = first.split(' ')[0]
  const polls = lines.slice(lines.indexOf(first)).filter(line => new RegExp(`^${thread}\\s+p?poll\\(`).test(line))
  console.log(`
one that takes ${SLOW} ms to end is sent one signal: ${verdict(signals.length === 1)}, ${signals.length} (strace)
and waited for in one poll(2) of its pidfd: ${verdict(polls.length === 1)}, ${polls.length}`)
}
