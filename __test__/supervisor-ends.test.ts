// How supervised programs end: by a stop, by themselves, or because their supervisor was killed.
import test from 'ava'
import { PidLock, stop } from 'daemonic'
import { Scene } from './support/scene.js'
import { foregroundSupervised, isAlive, startSupervised, supervised } from './support/supervised.js'

for (const [what, does] of [
  ['that waits', 'stays'],
  ['in a tight loop', 'isBusy'],
  ['that ignores what it can', 'ignoresWhatItCan'],
] as const) {
  test(`a worker ${what} ends with its supervisor, however that ends`, async t => {
    const scene = new Scene(t)
    const supervisor = await startSupervised(scene, supervised(does, { workers: 2 }))
    const workers = supervisor.children()
    t.is(workers.length, 2)
    if (does === 'isBusy') await scene.until('it is busy', () => scene.exists('busy'))
    supervisor.signal('SIGKILL')
    await scene.until('the workers have ended', () => !workers.some(isAlive))
    await scene.empty()
    t.is(PidLock.inspect(scene.path('d.pid')).state, 'free')
  })
}

test('the next start clears away what a killed one left', async t => {
  const scene = new Scene(t)
  const options = { workers: 2, listen: { it: './it.sock' }, ready: 'loaded' } as const
  const first = await startSupervised(scene, options)
  first.signal('SIGKILL')
  await scene.empty()
  t.true(scene.exists('d.sock') && scene.exists('it.sock') && scene.exists('d.json'))
  const second = await startSupervised(scene, options)
  t.not(second.pid, first.pid)
  t.is((await second.workers(2)).length, 2)
})

test('stop() ends all, and removes what lay beside the pid file', async t => {
  const scene = new Scene(t)
  await startSupervised(scene, { workers: 2, listen: { it: './it.sock' }, ready: 'loaded' })
  t.deepEqual(scene.files(), ['d.json', 'd.log', 'd.pid', 'd.sock', 'it.sock'])
  const { wasRunning, forced } = await stop(scene.path('d.pid'))
  t.deepEqual([wasRunning, forced], [true, false])
  t.deepEqual(scene.files(), ['d.log'])
  await scene.empty()
})

test('so does a stop over the control socket', async t => {
  const scene = new Scene(t)
  const { supervisor, end } = await foregroundSupervised(scene, { workers: 2 })
  t.deepEqual(await supervisor.ask({ do: 'stop' }), { ok: true })
  t.is((await end).code, 0)
  t.deepEqual(scene.files(), [])
})

test('a worker that doesn’t stop is killed after stopTimeout, and the exit code is 1', async t => {
  const scene = new Scene(t)
  const blocking = supervised('blocksWhenItStops', { workers: 2, stopTimeout: 300 })
  const { supervisor, end } = await foregroundSupervised(scene, blocking)
  const [first = 0] = supervisor.children()
  supervisor.signal('SIGTERM')
  const { code, stderr } = await end
  t.is(code, 1)
  t.regex(stderr, new RegExp(`error: pid ${first} has not ended: killing it\n`))
  t.regex(stderr, new RegExp(`info: pid ${first} killed by SIGKILL\n`))
  t.deepEqual(scene.files(), [])
})

test('stop() says which workers had to be killed, and with what code a daemon ended', async t => {
  const scene = new Scene(t)
  const blocking = supervised('blocksWhenItStops', { monitor: true, stopTimeout: 300 })
  const first = await startSupervised(scene, blocking)
  const worker = await first.worker()
  t.like(await stop(scene.path('d.pid')), { forced: false, killed: [worker], exitCode: 1 })
  await startSupervised(scene, supervised('failsWhenItStops', { monitor: true }))
  t.like(await stop(scene.path('d.pid')), { forced: false, killed: [], exitCode: 1 })
  await startSupervised(scene, { monitor: true })
  t.like(await stop(scene.path('d.pid')), { forced: false, killed: [], exitCode: 0 })
})

test('a stop hook that fails makes the exit code 1', async t => {
  const scene = new Scene(t)
  const { supervisor, end } = await foregroundSupervised(scene, supervised('failsWhenItStops', { workers: 2 }))
  supervisor.signal('SIGTERM')
  const { code, stderr } = await end
  t.is(code, 1)
  t.regex(stderr, /error: a stop hook failed: Error: broken/)
})

test('a TERM while it waits to restart ends it at once, and starts nothing', async t => {
  const scene = new Scene(t)
  const failing = supervised('endsWhere', 'broken', { exits: 3 }, { monitor: { maxDelay: 600_000 } }, 'lives')
  const { supervisor, child, end } = await foregroundSupervised(scene, failing)
  let said = ''
  child.stderr?.on('data', chunk => (said += chunk))
  const worker = await supervisor.worker()
  scene.write('broken', '')
  process.kill(worker, 'SIGKILL')
  await scene.until('it waits', () => said.includes('waiting 6400 ms'))
  const lives = scene.read('lives')
  const start = performance.now()
  supervisor.signal('SIGTERM')
  const { code } = await end
  t.is(code, 0)
  t.true(performance.now() - start < 6_400)
  t.is(scene.read('lives'), lives)
})

test('stop() does, too, and any number of them at once', async t => {
  const scene = new Scene(t)
  const failing = supervised('endsWhere', 'broken', { exits: 3 }, { monitor: { maxDelay: 600_000 } })
  const supervisor = await startSupervised(scene, failing)
  const worker = await supervisor.worker()
  scene.write('broken', '')
  process.kill(worker, 'SIGKILL')
  await supervisor.logged(/waiting 1600 ms/)
  const results = await Promise.all([1, 2, 3].map(() => stop(scene.path('d.pid'))))
  t.true(results.every(({ forced }) => !forced))
  t.deepEqual(scene.files(), ['broken', 'd.log'])
})
