// What is called on the way to the daemon's exec, with few descriptors allowed and with many: it must be the same, and
// between fork and exec nothing of it may allocate or wait for another thread.
import { execFileSync } from 'node:child_process'
import { verdict } from './support/numbers.js'
import { printTable } from './support/table.js'
import { type Call, isFork, summary, traceStart, upTo } from './support/trace.js'
import { World } from './support/world.js'

const FEW = '1024'
const FORBIDDEN = new Set(['brk', 'mmap', 'munmap', 'mremap', 'futex'])

interface Calls {
  middle: Call[]
  daemon: Call[]
  /** What the middle does once the daemon is there: how often depends on what happens meanwhile. */
  watching: Call[]
}

export async function listSystemCalls(): Promise<void> {
  const many = execFileSync('sh', ['-c', 'ulimit -H -n']).toString().trim()
  const few = await callsWith(FEW)
  const most = await callsWith(many)
  const row = (who: string, calls: readonly Call[]) => [who, String(calls.length), summary(calls)]
  printTable(
    `System calls from the first fork to the daemon’s exec, \`ulimit -n ${FEW}\``,
    ['process', 'calls', 'in order'],
    [row('middle, until its fork', few.middle), row('daemon, until its exec', few.daemon)],
  )
  const same = (['middle', 'daemon'] as const).every(who => summary(few[who]) === summary(most[who]))
  const all = [few, most].flatMap(({ daemon }) => daemon)
  const bad = [...new Set(all.filter(call => FORBIDDEN.has(call.name)).map(call => call.name))]
  const names = [...new Set(few.watching.map(call => call.name))]
  console.log(`
the same with \`ulimit -n ${many}\`: ${verdict(same)}
after its fork the middle calls: ${names.join(', ')}
none of ${[...FORBIDDEN].join(', ')} in the daemon: ${verdict(bad.length === 0)}${bad.length ? ` (${bad.join(', ')})` : ''}`)
  if (!same) {
    printTable(
      `\`ulimit -n ${many}\``,
      ['process', 'calls', 'in order'],
      [row('middle', most.middle), row('daemon', most.daemon)],
    )
  }
}

async function callsWith(limit: string): Promise<Calls> {
  await using world = new World()
  const { middle, daemon } = await traceStart(world, [], limit)
  const forked = middle.findIndex(isFork) + 1
  return { middle: middle.slice(0, forked), watching: middle.slice(forked), daemon: upTo('execve', daemon) }
}
