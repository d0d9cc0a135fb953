// What serve() costs a request: a minimal server on one processor, wrk on the other, with and without the library.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { median, quantile, verdict } from './support/numbers.js'
import { printTable } from './support/table.js'
import { program, World } from './support/world.js'
import { installWrk } from './support/wrk.js'

const ROUNDS = Number(process.env.ROUNDS ?? 12)
const SECONDS = 2
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
  const servers = await Promise.all(MODES.map(async mode => ({ mode, ...(await start(mode)) })))
  try {
    for (const { address } of servers) wrk(address, SECONDS) // compiled by now
    // Each goes first in turn: what wrk leaves behind, and others' work, burden all alike.
    for (let round = 0; round < ROUNDS; round++) {
      const order = MODES.map((_, index) => servers[(index + round) % servers.length])
      for (const server of order) if (server) answers[server.mode].push(wrk(server.address, SECONDS))
    }
  } finally {
    for (const { child } of servers) child.kill()
  }
  const rows = MODES.map(mode => {
    const shares = answers[mode].map((each, round) => each / (answers.bare[round] ?? Number.NaN))
    const [low, middle, high] = [0.25, 0.5, 0.75].map(share => quantile(shares, share).toFixed(3))
    const target = mode === 'bare' ? '' : `${TARGETS[mode]}: ${verdict(median(shares) >= TARGETS[mode])}`
    return [mode, Math.round(median(answers[mode])).toLocaleString('en'), `${middle} (${low} to ${high})`, target]
  })
  printTable(`Answers a second, ${ROUNDS} rounds of ${SECONDS} s`, ['server', 'median', 'of bare', 'at least'], rows)
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
