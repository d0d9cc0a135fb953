// What serve() costs a request: a minimal server on one processor, wrk on the other, with and without the library. Answers a
// second swing with what else the machine does; the processor time of an answer swings less.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { median, quantile, verdict } from './support/numbers.js'
import { printTable } from './support/table.js'
import { program, World } from './support/world.js'
import { installWrk } from './support/wrk.js'

const ROUNDS = Number(process.env.ROUNDS ?? 30)
const SECONDS = 1
/** The kernel counts processor time in these, in microseconds: proc_pid_stat(5). */
const TICK = 10_000
/** The processors of the server and of wrk. */
const [SERVERS, CLIENTS] = ['0', '1']
/** Modes of the program, and the share of the bare server's answers that each has to reach. */
const TARGETS = { bare: 1, serve: 0.98, idle: 0.95 } as const
type Mode = keyof typeof TARGETS
const MODES = Object.keys(TARGETS) as Mode[]

export async function measureRequests(): Promise<void> {
  await using world = new World()
  const wrk = installWrk(world, ['taskset', '-c', CLIENTS])
  if (wrk === null) return
  const answers: Record<Mode, number[]> = { bare: [], serve: [], idle: [] }
  const costs: Record<Mode, number[]> = { bare: [], serve: [], idle: [] }
  const servers = await Promise.all(MODES.map(async mode => ({ mode, ...(await start(mode)) })))
  try {
    for (const { address } of servers) wrk(address, SECONDS) // compiled by now
    // Each goes first in turn: what wrk leaves behind, and others' work, burden all alike.
    for (let round = 0; round < ROUNDS; round++) {
      const order = MODES.flatMap((_, index) => servers[(index + round) % servers.length] ?? [])
      for (const { mode, child, address } of order) {
        const before = processorTime(child)
        const each = wrk(address, SECONDS)
        answers[mode].push(each)
        costs[mode].push((processorTime(child) - before) / (each * SECONDS))
      }
    }
  } finally {
    for (const { child } of servers) child.kill()
  }
  const rows = MODES.map(mode => {
    const shares = answers[mode].map((each, round) => each / (answers.bare[round] ?? Number.NaN))
    const efforts = costs[mode].map((each, round) => (costs.bare[round] ?? Number.NaN) / each)
    const target = mode === 'bare' ? '' : `${TARGETS[mode]}: ${verdict(median(shares) >= TARGETS[mode])}`
    const rate = Math.round(median(answers[mode])).toLocaleString('en')
    return [mode, rate, spread(shares), `${median(costs[mode]).toFixed(1)} µs`, spread(efforts), target]
  })
  const heading = ['server', 'answers a second', 'of bare', 'processor time each', 'bare by this', 'answers at least']
  printTable(`Requests, medians of ${ROUNDS} rounds of ${SECONDS} s`, heading, rows)
}

function spread(values: number[]): string {
  const [low, middle, high] = [0.25, 0.5, 0.75].map(share => quantile(values, share).toFixed(3))
  return `${middle} (${low} to ${high})`
}

/** Gives the time that a process has had processors, in microseconds. */
function processorTime({ pid }: ChildProcess): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const [user = 0, system = 0] = fields.slice(11, 13).map(Number)
  return (user + system) * TICK
}

async function start(mode: Mode): Promise<{ child: ChildProcess; address: string }> {
  const child = spawn('taskset', ['-c', SERVERS, process.execPath, program('answering')], {
    stdio: ['ignore', 'pipe', 'ignore'],
    env: { ...process.env, MODE: mode },
    detached: true,
  })
  const ended = once(child, 'exit').then(() => {
    throw new Error(`the server in the mode ${mode} ended before it listened`)
  })
  const [port] = await Promise.race([once(createInterface(child.stdout), 'line'), ended])
  ended.catch(() => {}) // its end is asked for later
  return { child, address: `127.0.0.1:${port}` }
}
