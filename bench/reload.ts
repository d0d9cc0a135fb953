// What requests a reload costs: none. The same under pm2, and without draining, so that it shows what would be lost.
import { setTimeout as delay } from 'node:timers/promises'
import { reload } from 'daemonic'
import { Load, type LoadOptions } from './support/load.js'
import { until } from './support/marks.js'
import { median, ms, verdict } from './support/numbers.js'
import { ours, Pm2, type Supervisor } from './support/supervisors.js'
import { printTable } from './support/table.js'
import { World } from './support/world.js'

const WORKERS = 2
const RELOADS = 20
/** At least, of those that are no slow ones. */
const REQUESTS = 10_000
/** From one reload to the next: new slow requests are in flight. Milliseconds. */
const PAUSE = 300
const LOADS: Record<string, LoadOptions> = {
  'kept alive': { clients: 8, keepAlive: true },
  'one a connection': { clients: 8, keepAlive: false },
  'slow, kept alive': { clients: 4, keepAlive: true, path: '/slow' },
  'slow, one a connection': { clients: 4, keepAlive: false, path: '/slow' },
}

interface Contender {
  supervisor: Supervisor
  env?: NodeJS.ProcessEnv
  reload(): Promise<void>
}

export async function measureReload(reloads = RELOADS): Promise<void> {
  await using world = new World()
  await using pm2 = Pm2.install(world)
  const rollOver = () => reload(world.pidFile)
  const contenders = new Map<string, Contender>([
    ['daemonic', { supervisor: ours(world), reload: rollOver }],
    ['daemonic, reusePort', { supervisor: ours(world), env: { REUSE_PORT: 'yes' }, reload: rollOver }],
    ['daemonic, not drained', { supervisor: ours(world), env: { DRAIN: 'no' }, reload: rollOver }],
  ])
  if (pm2) {
    const itsReload = () => pm2.run(['reload', 'web'])
    contenders.set('pm2, the plain server', { supervisor: pm2, reload: itsReload })
    contenders.set('pm2, ending as its manual says', { supervisor: pm2, env: { STOP: 'graceful' }, reload: itsReload })
  }
  const outcomes: [string, Outcome][] = []
  for (const [name, contender] of contenders) outcomes.push([name, await outcomeOf(contender, reloads)])
  report(outcomes, reloads)
}

interface Outcome {
  loads: Map<string, Load>
  /** Milliseconds each. */
  reloads: number[]
}

async function outcomeOf({ supervisor, env = {}, reload }: Contender, times: number): Promise<Outcome> {
  const running = await supervisor.start({ workers: WORKERS, env })
  try {
    const loads = new Map(Object.entries(LOADS).map(([kind, options]) => [kind, new Load(running.address, options)]))
    const reloads: number[] = []
    for (let each = 0; each < times; each++) {
      await delay(PAUSE)
      const began = performance.now()
      await reload()
      reloads.push(performance.now() - began)
    }
    await delay(PAUSE)
    await until(`${REQUESTS} requests`, () => (total([...loads.values()], 'sent') >= REQUESTS ? true : undefined))
    await Promise.all([...loads.values()].map(load => load.stop()))
    return { loads, reloads }
  } finally {
    await running.stop()
  }
}

function report(outcomes: readonly [string, Outcome][], reloads: number): void {
  printTable(
    `${reloads} reloads of ${WORKERS} workers in a row, under load`,
    ['who', 'requests', 'failed', 'idle-close races', 'a reload, median'],
    outcomes.map(([name, { loads, reloads }]) => [
      name,
      total(loads.values(), 'sent').toLocaleString('en'),
      total(loads.values(), 'failed').toLocaleString('en'),
      total(loads.values(), 'races').toLocaleString('en'),
      ms(median(reloads), 0),
    ]),
  )
  printTable(
    'Failed, of those sent, by the kind of request',
    ['who', ...Object.keys(LOADS)],
    outcomes.map(([name, { loads }]) => [
      name,
      ...[...loads.values()].map(({ failures, sent }) => `${failures.length} of ${sent}`),
    ]),
  )
  const failed = (name: string) => total(outcomes.find(([each]) => each === name)?.[1].loads.values() ?? [], 'failed')
  const ours = failed('daemonic') + failed('daemonic, reusePort')
  console.log(`
daemonic loses none: ${verdict(ours === 0)}
the control run, without draining, loses some: ${verdict(failed('daemonic, not drained') > 0)}`)
  for (const [name, { loads }] of outcomes) {
    const reasons = [...loads.values()].flatMap(({ failures }) => failures)
    if (reasons.length > 0) console.log(`${name}, for example: ${reasons.slice(0, 3).join('; ')}`)
  }
}

function total(loads: Iterable<Load>, what: 'sent' | 'failed' | 'races'): number {
  let sum = 0
  for (const load of loads) sum += what === 'failed' ? load.failures.length : load[what]
  return sum
}
