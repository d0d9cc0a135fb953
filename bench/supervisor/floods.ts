// How long a worker that writes without end keeps its supervisor from answering and from stopping, and what memory it
// makes it take.
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { status } from 'daemonic'
import { now } from '../support/clock.js'
import { ms, verdict } from '../support/numbers.js'
import { printTable } from '../support/table.js'
import { program, World } from '../support/world.js'
import { memory } from './memory.js'

const FLOODS: Record<string, string> = {
  'no meaning': 'X=1',
  'empty lines': '',
  failures: 'FAILURE=1 2',
  statuses: `STATUS=${'x'.repeat(9_000)}`,
  requests: 'BIND=1 {}',
  wishes: 'WISHES=1 {"identity":{"user":0}}',
  'too long': 'x'.repeat(100_000),
}
const ASKED = 100
const MOST_MS = 100
const MOST_KB = 2048

export async function measureFloods(asked = ASKED): Promise<void> {
  const rows: string[][] = []
  const slowest: number[] = []
  const most: number[] = []
  for (const [what, LINE] of Object.entries(FLOODS)) {
    await using world = new World()
    await world.run(process.execPath, [program('flooder')], { LINE })
    const { pid } = await status(world.pidFile)
    if (pid === null) throw new Error('no pid')
    const before = memory(pid).rss
    const answers: number[] = []
    for (let count = 0; count < asked; count++) answers.push(await timed(() => ask(world.path('bench.sock'))))
    const grown = memory(pid).rss - before
    process.kill(pid, 'SIGTERM')
    const stopping = await timed(async () => {
      while (!(await isStopping(world)));
    })
    slowest.push(...answers, stopping)
    most.push(grown)
    rows.push([what, ms(Math.max(...answers)), ms(stopping), `${grown} KB`])
  }
  printTable(
    `A worker that writes without end: the slowest of ${asked} answers, and the stop`,
    ['what it writes', 'status, slowest', 'SIGTERM is acted on', 'memory'],
    rows,
  )
  console.log(`\nat most ${MOST_MS} ms: ${verdict(Math.max(...slowest) <= MOST_MS)}`)
  console.log(`at most ${MOST_KB} KB: ${verdict(Math.max(...most) <= MOST_KB)}`)
}

async function timed(what: () => Promise<unknown>): Promise<number> {
  const from = now()
  await what()
  return now() - from
}

async function ask(path: string): Promise<string> {
  const client = connect(path)
  client.end('{"do":"status"}\n')
  return text(client)
}

async function isStopping(world: World): Promise<boolean> {
  const answer = await ask(world.path('bench.sock')).catch(() => '')
  return answer === '' || JSON.parse(answer).phase === 'stopping'
}
