// How much memory a supervisor takes, by how many workers it has.
import { readFileSync } from 'node:fs'
import { verdict } from '../support/numbers.js'
import { nodeCluster, ours, Pm2, type Supervisor, supervisord } from '../support/supervisors.js'
import { printTable } from '../support/table.js'
import { World } from '../support/world.js'

const WORKERS = [1, 8, 64]
const MOST_KB = 1024

export async function measureMemory(workers = WORKERS): Promise<void> {
  await using world = new World()
  await using pm2 = Pm2.install(world)
  const contenders = [ours(world), nodeCluster(world), pm2, supervisord(world)].filter(each => each !== null)
  const most: number[] = []
  const rows: string[][] = []
  for (const contender of contenders) {
    const cells = [contender.name]
    for (const count of workers) {
      const { rss, pss } = await memoryOf(contender, count)
      if (contender.name === 'daemonic') most.push(rss)
      cells.push(`${kilobytes(rss)} (${kilobytes(pss)})`)
    }
    rows.push(cells)
  }
  printTable(
    'Resident memory of the supervisor, and its proportional share of it',
    ['who', ...workers.map(count => `${count} workers`)],
    rows,
  )
  console.log(`\ndaemonic at most ${MOST_KB} KB: ${verdict(Math.max(...most) <= MOST_KB)}`)
}

async function memoryOf(contender: Supervisor, workers: number): Promise<{ rss: number; pss: number }> {
  const running = await contender.start({ workers })
  try {
    return memory(running.pid)
  } finally {
    await running.stop()
  }
}

/** Kilobytes: proc_pid_smaps(5). Pages that it shares with others count in full for Rss, by parts for Pss. */
export function memory(pid: number): { rss: number; pss: number } {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8')
  const field = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1])
  return { rss: field('Rss'), pss: field('Pss') }
}

function kilobytes(value: number): string {
  return `${value.toLocaleString('en')} KB`
}
