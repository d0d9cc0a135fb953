// How often a second a pid file is acquired and released: ours, other packages', and C's.
import { type ChildProcess, execFileSync, fork } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { compile } from '../support/c-program.js'
import { nextMessage } from '../support/messages.js'
import { median, verdict } from '../support/numbers.js'
import { installPeers, type PeerName } from '../support/peers.js'
import { rotated, rounds } from '../support/rounds.js'
import { printTable } from '../support/table.js'
import { program, World } from '../support/world.js'

const WARM_UP = 3
const ROUNDS = 40
/** Locks in a round. */
const COUNT = 1000
const LEAST_OF_C = 0.5

type Run = () => number | Promise<number>

const DOES: Record<string, string> = {
  'C, the same calls': 'the system calls of daemonic, one by one',
  'C, the protocol alone': 'without what else the library asks: whether the file is its own, its user, its own pid',
  daemonic: 'two kinds of locks, so that the kernel names the owner; inode check; mode; text; removed under the lock',
  'proper-lockfile': 'a directory made, its times set and read, a timer; no pid, and no lock: stale by its age',
  'fs-ext': 'flock(2): open, flock, write, unlink, flock, close; names nobody, no inode check, no mode, old text stays',
  'fs-ext, checked': 'what its caller must add against races and hostile files: fstat, lstat ×2, fchmod, ftruncate',
  npid: 'open with O_EXCL, write, close; unlink. No lock: a crash leaves a file that refuses every later start',
  pidlock: 'a directory, and a link to it; no lock: by the command line in /proc/PID',
}

/** Which peer a row needs. */
const NEEDS: Record<string, PeerName> = {
  'proper-lockfile': 'proper-lockfile',
  'fs-ext': 'fs-ext',
  'fs-ext, checked': 'fs-ext',
  npid: 'npid',
  pidlock: 'pidlock',
}

export async function measureRate(count = ROUNDS): Promise<void> {
  await using world = new World()
  const peers = installPeers(world)
  const compiled = compile(world, 'pid-lock')
  const rows = Object.keys(DOES).filter(row => {
    const peer = NEEDS[row]
    return peer === undefined || peers.has(peer)
  })
  const children: ChildProcess[] = []
  const runs = rows.map((row): [string, Run] => {
    if (row.startsWith('C, ')) {
      const which = row.endsWith('alone') ? 'least' : 'same'
      const args = [world.path('c.pid'), String(COUNT), which]
      return [row, () => Number(execFileSync(compiled, args, { stdio: ['ignore', 'pipe', 'ignore'] }).toString())]
    }
    const peer = NEEDS[row]
    const child = fork(program('locker'), [row, world.path('node.pid'), (peer && peers.get(peer)) ?? ''])
    children.push(child)
    return [row, () => ask(child)]
  })
  try {
    report(await interleaved(runs, count), count)
  } finally {
    for (const child of children) child.kill('SIGKILL')
  }
  compareCalls(world, compiled)
}

/** Locks a second, of each in every round. Who comes first changes from round to round. */
async function interleaved(runs: readonly [string, Run][], count: number): Promise<Map<string, number[]>> {
  const samples = await rounds(count, WARM_UP, async round => {
    const rates = new Map<string, number>()
    for (const [row, run] of rotated(runs, round)) rates.set(row, (COUNT * 1000) / (await run()))
    return rates
  })
  return new Map(runs.map(([row]) => [row, samples.flatMap(rates => rates.get(row) ?? [])]))
}

async function ask(child: ChildProcess): Promise<number> {
  child.send(COUNT)
  const [elapsed] = await nextMessage(child)
  return Number(elapsed)
}

function report(rates: ReadonlyMap<string, readonly number[]>, rounds: number): void {
  const ours = rates.get('daemonic') ?? []
  const ratio = (over: readonly number[], under: readonly number[]) =>
    median(over.map((rate, round) => rate / (under[round] ?? Number.NaN)))
  const ofC = (row: string) => ratio(ours, rates.get(row) ?? [])
  printTable(
    `Acquire and release, ${rounds} interleaved rounds of ${COUNT}`,
    ['what', 'a second', 'daemonic / this', 'what it does'],
    [...rates].map(([row, values]) => [
      row,
      Math.round(median(values)).toLocaleString('en'),
      ratio(ours, values).toFixed(2),
      DOES[row] ?? '',
    ]),
  )
  const peers = [...rates].filter(([row]) => row in NEEDS && row !== 'fs-ext, checked')
  const ahead = peers.filter(([, values]) => ratio(ours, values) <= 1).map(([row]) => row)
  const behind = ahead.length ? ` (${ahead.join(', ')})` : ''
  console.log(`
at least ${LEAST_OF_C} of C, the same calls: ${verdict(ofC('C, the same calls') >= LEAST_OF_C)}
at least ${LEAST_OF_C} of C, the protocol alone: ${verdict(ofC('C, the protocol alone') >= LEAST_OF_C)}
ahead of every peer: ${verdict(ahead.length === 0)}${behind}`)
}

/** Whether the C program still makes our calls: both are shown where they differ. */
function compareCalls(world: World, compiled: string): void {
  const path = world.path('traced.pid')
  const ours = callsOf(world, path, [process.execPath, program('locker'), 'daemonic', path])
  const theirs = callsOf(world, path, [compiled, path, '1', 'same'])
  const same = ours.join('\n') === theirs.join('\n')
  console.log(`the C program makes our calls (strace): ${verdict(same)}, ${ours.length}`)
  if (same) return
  const longest = Math.max(ours.length, theirs.length)
  printTable(
    'System calls of an acquire and release',
    ['daemonic', 'C'],
    Array.from({ length: longest }, (_, each) => [ours[each] ?? '', theirs[each] ?? '']),
  )
}

/** The calls between the marks, without what differs from run to run: numbers of descriptors, pids, addresses. */
function callsOf(world: World, path: string, command: readonly string[]): string[] {
  const trace = world.path('calls')
  execFileSync('strace', ['-s', '200', '-o', trace, ...command], { stdio: 'ignore' })
  const lines = readFileSync(trace, 'utf8').split('\n')
  const mark = (text: string) => lines.findIndex(line => line.startsWith(`write(2, "${text}`))
  return lines
    .slice(mark('begin') + 1, mark('end'))
    .filter(line => !/^(clock_gettime|mprotect|munmap|madvise|mmap)\(/.test(line)) // V8's own
    .map(line =>
      line
        .replace(/\s+= .*$/, '')
        .replaceAll(`"${path}"`, 'PATH')
        .replace(/^futex\(0x[0-9a-f]+/, 'futex(ADDRESS')
        .replace(/^(\w+)\(\d+/, '$1(FD')
        .replace(/\{st_.*?\}/, 'STAT')
        .replace(/0x[0-9a-f]+/, 'STAT')
        .replace(/"\d+\\n", \d+/, 'TEXT')
        .replace(/^ftruncate.*/, 'ftruncate(FD, LENGTH)'),
    )
}
