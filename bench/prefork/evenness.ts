// How evenly connections are spread over the workers: one request on each, many clients at a time.
import { Load } from '../support/load.js'
import { verdict } from '../support/numbers.js'
import { nodeCluster, ours, type Supervisor } from '../support/supervisors.js'
import { printTable } from '../support/table.js'
import { World } from '../support/world.js'

const WORKERS = [2, 4]
const REQUESTS = 10_000
const CLIENTS = 32
const MOST = 1.5

export async function measureEvenness(requests = REQUESTS): Promise<void> {
  await using world = new World()
  const reusePort = ours(world, 'daemonic, reusePort', { REUSE_PORT: 'yes' })
  const contenders = [reusePort, ours(world, 'daemonic, the shared socket'), nodeCluster(world)]
  const rows: string[][] = []
  let worst = 0
  for (const workers of WORKERS) {
    for (const contender of contenders) {
      const counts = await spread(contender, workers, requests)
      const ratio = Math.max(...counts) / Math.min(...counts)
      if (contender === reusePort) worst = Math.max(worst, ratio)
      rows.push([
        contender.name,
        String(workers),
        counts.map(count => count.toLocaleString('en')).join(', '),
        ratio.toFixed(2),
      ])
    }
  }
  printTable(
    `${requests} connections of one request each, ${CLIENTS} at a time`,
    ['who', 'workers', 'answers of each', 'busiest over least busy'],
    rows,
  )
  console.log(`\nwith reusePort at most ${MOST}: ${verdict(worst <= MOST)}`)
}

async function spread(contender: Supervisor, workers: number, requests: number): Promise<number[]> {
  const running = await contender.start({ workers })
  const { answeredBy, failures } = await new Load(running.address, {
    clients: CLIENTS,
    keepAlive: false,
    requests,
  }).end()
  await running.stop()
  if (failures.length > 0) throw new Error(`${contender.name}: ${failures.length} failed: ${failures[0]}`)
  const counts = [...answeredBy.values()].sort((a, b) => b - a)
  // One that never answered is the least busy.
  return [...counts, ...Array(workers - counts.length).fill(0)]
}
