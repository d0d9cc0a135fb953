// What is left when the supervisor is killed, and what the next start makes of it.
import test from 'ava'
import { stop } from 'daemonic'
import type { HolderOptions } from './fixtures/supervised.js'
import { freePort } from './support/listening.js'
import { Scene } from './support/scene.js'
import { isAlive, type Supervisor, startSupervised, supervised } from './support/supervised.js'

/** Starts a daemon whose worker has children that listen, and kills its supervisor; gives the children. */
async function leftBy(scene: Scene, ports: number[], more: HolderOptions = {}): Promise<[Supervisor, number[]]> {
  const program = supervised('hasHolders', { workers: 1, ready: 'manual' }, ports, more)
  const supervisor = await startSupervised(scene, program)
  const holders = scene.read('holders').trim().split('\n').map(Number)
  const worker = await supervisor.worker()
  supervisor.signal('SIGKILL')
  await scene.until('supervisor and worker have ended', () => !isAlive(supervisor.pid) && !isAlive(worker))
  return [supervisor, holders]
}

/** Starts a daemon of the same pid file that listens on a port itself. */
const startOn = (scene: Scene, port: number) =>
  scene.node(supervised('greets', { workers: 1, listen: { it: { port, host: '127.0.0.1' } } }))

for (const ignoresTerm of [false, true]) {
  const what = ignoresTerm ? 'ignore SIGTERM' : 'keep its ports'
  test(`processes that the daemon’s workers have left, and that ${what}, are ended by the next start`, async t => {
    const scene = new Scene(t)
    const ports = [await freePort(), await freePort()]
    const [killed, holders] = await leftBy(scene, ports, { ignoresTerm })
    t.true(holders.every(isAlive))
    const { code, stderr } = await startOn(scene, ports[0] ?? 0)
    t.is(code, 0, stderr)
    const [first, second] = holders.toSorted((one, other) => one - other)
    t.is(stderr, `d: ended what was left of the daemon that was killed (pid ${killed.pid}): pid ${first}, ${second}\n`)
    t.false(holders.some(isAlive))
    await stop(scene.path('d.pid'))
  })
}

test('one that left the daemon’s session goes on, and is named', async t => {
  const scene = new Scene(t)
  const port = await freePort()
  const [, [holder = 0]] = await leftBy(scene, [port], { ownSession: true })
  const { code, stderr } = await startOn(scene, port)
  t.is(code, 1)
  t.regex(stderr, new RegExp(`EADDRINUSE.*pid ${holder}\\b`))
  t.true(isAlive(holder))
})

test('one that doesn’t show which start it comes from goes on, and is named', async t => {
  const scene = new Scene(t)
  const port = await freePort()
  const [killed, [holder = 0]] = await leftBy(scene, [port], { env: { DAEMONIC_INVOCATION_ID: 'another' } })
  const { code, stderr } = await startOn(scene, port)
  t.is(code, 1)
  t.regex(
    stderr,
    new RegExp(`^d: warning: pid ${holder} may be left of the daemon that was killed \\(pid ${killed.pid}\\)`),
  )
  t.true(isAlive(holder))
})

test('a record of another boot, or of a container before this one, ends nothing', async t => {
  const scene = new Scene(t)
  const port = await freePort()
  const [, [holder = 0]] = await leftBy(scene, [port])
  const { pidSpace, ...state } = JSON.parse(scene.read('d.json'))
  t.regex(pidSpace, /^[-0-9a-f]{36} pid:\[\d+\] \d+$/)
  scene.write('d.json', JSON.stringify({ ...state, pidSpace: pidSpace.replace(/\d+$/, '1') }))
  const { code, stderr } = await startOn(scene, port)
  t.is(code, 1)
  t.notRegex(stderr, /killed/)
  t.true(isAlive(holder))
})

test('a daemon that loses its pid file to another, and goes on, keeps its processes', async t => {
  const scene = new Scene(t)
  const port = await freePort()
  const first = await startSupervised(scene, supervised('hasHolders', { workers: 1, ready: 'manual' }, [port]))
  const holder = Number(scene.read('holders'))
  const worker = await first.worker()
  const second = await scene.node(supervised('stays', { workers: 1, pidFile: { path: './d.pid', overwrite: true } }))
  t.is(second.code, 0, second.stderr)
  t.deepEqual(
    [first.pid, worker, holder].filter(pid => !isAlive(pid)),
    [],
  )
})
