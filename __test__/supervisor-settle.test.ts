// A reload believes a new worker that has served for a while, or that says itself that it is ready.
import test from 'ava'
import { reload, stop } from 'daemonic'
import { Scene } from './support/scene.js'
import { isAlive, startSupervised, supervised } from './support/supervised.js'

const BRIEFLY = { says: 'no licence', exits: 3 }

for (const monitor of [{}, { restart: 'no' }] as const) {
  test(`a new program that serves and exits a moment later leaves the old ones in place (${Object.keys(monitor)})`, async t => {
    const scene = new Scene(t)
    const brief = supervised('servesBrieflyWhere', 'broken', BRIEFLY, { workers: 2, monitor })
    const supervisor = await startSupervised(scene, brief)
    const before = await supervisor.pids(2)
    scene.write('broken', '')
    const error = await t.throwsAsync(reload(scene.path('d.pid')), { code: 'ERR_DAEMON_RELOAD' })
    t.regex(error?.message ?? '', /the new worker \(pid \d+\) ended with 3; it wrote:\n.*no licence/s)
    t.deepEqual(await supervisor.pids(2), before)
    t.true(before.every(isAlive))
    t.notRegex(supervisor.log, /takes the place of/)
  })
}

test('a later one that exits a moment after it took over fails the reload, and its slot is filled again', async t => {
  const scene = new Scene(t)
  // By its policy it would not be started again.
  const options = { workers: 2, monitor: { restart: 'no' } } as const
  const brief = supervised('servesBrieflyWhere', 'broken', BRIEFLY, options, 1)
  const supervisor = await startSupervised(scene, brief)
  const before = await supervisor.pids(2)
  scene.write('broken', '')
  const error = await t.throwsAsync(reload(scene.path('d.pid')), { code: 'ERR_DAEMON_RELOAD' })
  t.regex(error?.message ?? '', /ended with 3; it wrote:\n.*no licence/s)
  await supervisor.pids(2, before)
  await reload(scene.path('d.pid'))
})

test('one that says itself that it is ready takes over at once', async t => {
  const scene = new Scene(t)
  const options = { monitor: { settle: 600_000 }, ready: 'manual' } as const
  const supervisor = await startSupervised(scene, supervised('endsWhere', 'never', {}, options))
  const before = await supervisor.worker()
  const reloaded = t.throwsAsync(reload(scene.path('d.pid')), { message: /it is stopping$/ })
  await supervisor.logged(new RegExp(`takes the place of pid ${before}\n`))
  await supervisor.worker([before])
  await stop(scene.path('d.pid'))
  await reloaded
})

test('with settle: 0 nobody has to settle', async t => {
  const scene = new Scene(t)
  const supervisor = await startSupervised(scene, { monitor: { settle: 0 } })
  const before = await supervisor.worker()
  const start = performance.now()
  await reload(scene.path('d.pid'))
  t.log(`${Math.round(performance.now() - start)} ms`)
  t.not(await supervisor.worker([before]), before)
})
