// What a thousand crashes in a row leave in the supervisor: nothing.
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { launch } from 'daemonic'
import { now } from '../support/clock.js'
import { until } from '../support/marks.js'
import { verdict } from '../support/numbers.js'
import { printTable } from '../support/table.js'
import { World } from '../support/world.js'
import { memory } from './memory.js'

const CRASHES = 1_000
const SETTLE = 500
/** Kilobytes that the resident memory may differ by: a page or two of the kernel's counting. */
const SLACK_KB = 64

export async function measureCrashes(crashes = CRASHES): Promise<void> {
  await using world = new World()
  const armed = world.path('armed')
  // From bench/, not dist/: a shell script isn't compiled.
  const script = fileURLToPath(new URL('../../../bench/programs/crash.sh', import.meta.url))
  const { pid } = await launch(script, {
    args: [armed],
    interpreter: '/bin/sh',
    pidFile: world.pidFile,
    log: world.path('log'),
    monitor: { restart: 'always', maxDelay: 1 },
  })
  const before = await facts(pid)

  writeFileSync(armed, '')
  const started = now()
  for (const child of childrenOf(pid)) process.kill(child, 'SIGSEGV')
  const counted = () => (statSync(armed).size >= crashes ? true : undefined)
  await until(`${crashes} crashes`, counted, { deadline: 300_000 })
  const elapsed = now() - started
  rmSync(armed)
  const after = await facts(pid)

  printTable(
    `${crashes} crashes in a row, ${((crashes * 1000) / elapsed).toFixed(0)} a second`,
    ['the supervisor', 'before', 'after'],
    [
      ['resident memory', `${before.rss} KB`, `${after.rss} KB`],
      ['descriptors', String(before.descriptors), String(after.descriptors)],
      ['zombies', String(before.zombies), String(after.zombies)],
      ['children', String(before.children), String(after.children)],
    ],
  )
  const flat =
    after.rss <= before.rss + SLACK_KB &&
    after.descriptors === before.descriptors &&
    after.zombies === 0 &&
    after.children === 1
  console.log(`\nflat: ${verdict(flat)}`)
}

async function facts(pid: number): Promise<{ rss: number; descriptors: number; zombies: number; children: number }> {
  await delay(SETTLE)
  const children = childrenOf(pid)
  return {
    rss: memory(pid).rss,
    descriptors: readdirSync(`/proc/${pid}/fd`).length,
    zombies: children.filter(child => /^State:\tZ/m.test(readFileSync(`/proc/${child}/status`, 'utf8'))).length,
    children: children.length,
  }
}

function childrenOf(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
  return text.split(' ').filter(Boolean).map(Number)
}
