// The native supervisor's `workers`: copies that share the listening sockets.
import test from 'ava'
import { address, greeting, portOf } from './support/listening.js'
import { Scene } from './support/scene.js'
import { linkOf, Supervisor, startSupervised, supervised } from './support/supervised.js'

const LISTENING = { listen: { it: '127.0.0.1:0' } } as const
/** The first of the sockets that are passed. */
const SOCKET = 3

const port = async (scene: Scene) => portOf(await address(scene))
const greet = async (scene: Scene) => greeting({ port: await port(scene), host: '127.0.0.1' })
const indexOf = (scene: Scene, pid: number) =>
  new RegExp(`^${pid} (\\d+)$`, 'm').exec(scene.read('indices'))?.[1] ?? 'none'

test('they share one socket, know their index, and are ready when the launcher ends', async t => {
  const scene = new Scene(t)
  const supervisor = await startSupervised(scene, supervised('greets', { workers: 3, ...LISTENING }))
  t.is(supervisor.title, 'd: monitoring 3 workers (healthy)')
  const { workers } = await supervisor.status()
  const pids = workers.map(({ pid }) => pid)
  t.deepEqual(
    workers.map(({ ready }) => ready),
    [true, true, true],
  )
  t.deepEqual(supervisor.children().sort(), pids.toSorted())
  t.deepEqual(
    pids.map(pid => indexOf(scene, pid)),
    ['0', '1', '2'],
  )
  t.is(new Set(pids.map(pid => linkOf(pid, SOCKET))).size, 1)
  // Each of them accepts where the others don't.
  for (const [index, pid] of pids.entries()) {
    for (const other of pids) process.kill(other, other === pid ? 'SIGCONT' : 'SIGSTOP')
    t.is(await greet(scene), `${index} ${pid}`)
  }
})

test('when one crashes, its successor has its index, and the others don’t notice', async t => {
  const scene = new Scene(t)
  const supervisor = await startSupervised(scene, supervised('greets', { workers: 3, ...LISTENING }))
  const [first = 0, second = 0, third = 0] = await supervisor.pids(3)
  process.kill(second, 'SIGKILL')
  const pids = await supervisor.pids(3, [second])
  t.true(pids.includes(first) && pids.includes(third))
  const [successor = 0] = pids.filter(pid => ![first, third].includes(pid))
  t.is(indexOf(scene, successor), '1')
  t.deepEqual((await supervisor.workers(3)).map(({ restarts }) => restarts).sort(), [0, 0, 1])
})

test('one that ends with 0 is replaced, too', async t => {
  const scene = new Scene(t)
  const supervisor = await startSupervised(scene, supervised('obeys', { workers: 2 }))
  const [first = 0] = await supervisor.pids(2)
  process.kill(first, 'SIGUSR2')
  t.is((await supervisor.pids(2, [first])).length, 2)
})

test('’cpus’ is as many as it may run on', async t => {
  const scene = new Scene(t)
  if ((await scene.run('sh', ['-c', 'command -v taskset'])).code !== 0) {
    t.pass('skipped: there is no taskset(1)')
    return
  }
  const argv = [process.execPath, ...supervised('stays', { workers: 'cpus' })]
  const { code, stderr } = await scene.run('taskset', ['-c', '0', ...argv])
  t.is(code, 0, stderr)
  const supervisor = new Supervisor(scene, Number(scene.read('d.pid')))
  t.is((await supervisor.workers(1)).length, 1)
})

test('reusePort: each has a socket of its own at the same port, and leaves it to its successor', async t => {
  const scene = new Scene(t)
  const listen = { it: { host: '127.0.0.1', port: 0, reusePort: true } }
  const supervisor = await startSupervised(scene, supervised('greets', { workers: 3, listen }))
  const pids = await supervisor.pids(3)
  const sockets = pids.map(pid => linkOf(pid, SOCKET))
  t.is(new Set(sockets).size, 3)
  const [, victim = 0] = pids
  process.kill(victim, 'SIGKILL')
  const after = await supervisor.pids(3, [victim])
  t.deepEqual(after.map(pid => linkOf(pid, SOCKET)).sort(), sockets.sort())
  const seen = new Set<string>()
  await scene.until('each has answered at that port', async () => {
    seen.add((await greet(scene)).split(' ')[0] ?? '')
    return seen.size === 3
  })
})

// ── More and fewer ───────────────────────────────────────────────────────────────────────

test('scale and TTIN, TTOU change their number: the new ones have the next index, the last ones end first', async t => {
  const scene = new Scene(t)
  const greeting = supervised('greets', { workers: 1, ...LISTENING }, 'tells its index')
  const supervisor = await startSupervised(scene, greeting)
  const [first = 0] = await supervisor.pids(1)
  t.deepEqual(await supervisor.ask({ do: 'scale', to: '3' }), { ok: true })
  t.deepEqual(
    (await supervisor.pids(3)).map(pid => indexOf(scene, pid)),
    ['0', '1', '2'],
  )
  await supervisor.ask({ do: 'scale', to: '+1' })
  await supervisor.workers(4)
  await supervisor.ask({ do: 'scale', to: '-2' })
  await supervisor.workers(2)
  t.deepEqual(scene.read('stopped').split('\n').sort(), ['', '2', '3'])
  supervisor.signal('SIGTTIN')
  await supervisor.workers(3)
  for (const left of [2, 1]) {
    supervisor.signal('SIGTTOU')
    await supervisor.workers(left)
  }
  t.deepEqual(await supervisor.pids(1), [first])
  t.regex(supervisor.log, /info: 3 workers instead of 1\n/)
})

test('the last worker stays, whatever is asked for', async t => {
  const scene = new Scene(t)
  const supervisor = await startSupervised(scene, { workers: 2 })
  for (const [to, error] of [
    ['0', 'expected 1 to 1024 workers, got 0'],
    ['-2', 'expected 1 to 1024 workers, got 0'],
    ['-7', 'expected at least 1 worker, got -5'],
    ['1025', 'expected 1 to 1024 workers, got 1025'],
    ['many', "expected a number, +N or -N, got 'many'"],
  ] as const) {
    t.deepEqual(await supervisor.ask({ do: 'scale', to }), { ok: false, error })
  }
  supervisor.signal('SIGTTOU')
  const [only] = await supervisor.pids(1)
  supervisor.signal('SIGTTOU')
  supervisor.signal('SIGWINCH') // handled after it
  t.deepEqual(await supervisor.pids(1), [only ?? 0])
})

test('a monitored program can’t be scaled', async t => {
  const scene = new Scene(t)
  const supervisor = await startSupervised(scene, { monitor: true })
  t.deepEqual(await supervisor.ask({ do: 'scale', to: '2' }), { ok: false, error: 'it has no `workers` option' })
  supervisor.signal('SIGTTIN')
  await supervisor.logged(/warning: it has no `workers` option\n/)
  t.is((await supervisor.workers(1)).length, 1)
})
