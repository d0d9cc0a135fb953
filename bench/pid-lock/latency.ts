// How soon a pid file has its next owner: after the last one's end, and after a release, with 16 processes waiting.
import type { ChildProcess } from 'node:child_process'
import { now } from '../support/clock.js'
import { EndWatch } from '../support/end-watch.js'
import { median, ms, quantile, verdict } from '../support/numbers.js'
import { rounds } from '../support/rounds.js'
import { printTable } from '../support/table.js'
import { type Moments, Waiters } from '../support/waiters.js'
import { World } from '../support/world.js'

const WAITERS = 16
const KILL_ROUNDS = 60
/** Each of as many hand-overs as there are waiters. */
const HAND_OVER_ROUNDS = 20
const WARM_UP = 2
const LONGEST_MS = 3

export async function measureLatency(kills = KILL_ROUNDS, handOvers = HAND_OVER_ROUNDS): Promise<void> {
  const killed = await killRounds(kills)
  const handed = await handOverRounds(handOvers)
  const row = (what: string, values: readonly number[], target = '') => [
    what,
    ms(median(values), 2),
    ms(quantile(values, 0.95), 2),
    target && `${target}: ${verdict(median(values) <= LONGEST_MS)}`,
  ]
  const target = `median at most ${LONGEST_MS} ms`
  printTable(
    `${WAITERS} waiters: ${kills} owners killed, ${handed.handOvers.length} hand-overs`,
    ['from, to', 'median', '95 %', 'target'],
    [
      row('SIGKILL is sent to the owner, to the first waiter having the lock', killed.all, target),
      row('of it: SIGKILL, to the end of the owner (its pidfd is readable)', killed.dying),
      row('of it: the end of the owner, to the first waiter having the lock', killed.after, target),
      row('one has the lock and releases it, to the next having it', handed.handOvers, target),
      row('of it: release() itself', handed.releases),
    ],
  )
}

interface Kills {
  all: number[]
  dying: number[]
  after: number[]
}

/** Whoever wins is the next owner, and killed; another process takes its place among the waiters. */
async function killRounds(count: number): Promise<Kills> {
  await using world = new World()
  await using watch = new EndWatch(world)
  await using waiters = new Waiters(world)
  let owner = waiters.start()
  await waiters.order(owner, 'hold')
  const waiting = new Map<ChildProcess, Promise<{ child: ChildProcess; moments: Moments }>>()
  const wait = () => {
    const child = waiters.start()
    const won = waiters.order(child, 'wait').then(moments => ({ child, moments }))
    won.catch(() => {}) // at the end they are killed
    waiting.set(child, won)
  }
  for (let each = 1; each < WAITERS; each++) wait()
  const samples = await rounds(count, WARM_UP, async () => {
    wait()
    await waiters.areWaiting(WAITERS)
    const { end } = await watch.watch(owner.pid ?? 0)
    const killed = now()
    owner.kill('SIGKILL')
    const { child, moments } = await Promise.race(waiting.values())
    const ended = await end
    const got = moments.got ?? Number.NaN
    waiting.delete(child)
    owner = child
    return { all: got - killed, dying: ended - killed, after: got - ended }
  })
  return {
    all: samples.map(each => each.all),
    dying: samples.map(each => each.dying),
    after: samples.map(each => each.after),
  }
}

interface HandOvers {
  handOvers: number[]
  releases: number[]
}

/** One owner and 16 waiters, each of which releases the lock as soon as it has it. */
async function handOverRounds(count: number): Promise<HandOvers> {
  await using world = new World()
  await using waiters = new Waiters(world)
  const times: HandOvers = { handOvers: [], releases: [] }
  const owner = waiters.start()
  const others = Array.from({ length: WAITERS }, () => waiters.start())
  const chains = await rounds(count, WARM_UP, async () => {
    await waiters.order(owner, 'hold')
    const passed = others.map(child => waiters.order(child, 'pass'))
    await waiters.areWaiting(WAITERS)
    const first = await waiters.order(owner, 'release')
    return [first, ...(await Promise.all(passed)).toSorted((a, b) => (a.got ?? 0) - (b.got ?? 0))]
  })
  for (const chain of chains) {
    for (const [place, { letGo = Number.NaN, done = Number.NaN }] of chain.entries()) {
      const next = chain[place + 1]?.got
      times.releases.push(done - letGo)
      if (next !== undefined) times.handOvers.push(next - letGo)
    }
  }
  return times
}
