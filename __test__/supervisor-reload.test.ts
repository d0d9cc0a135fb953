// Reload: each worker is replaced by one of the program as it is now, once that is ready; or by none.
import { mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import test from 'ava'
import { reload } from 'daemonic'
import type { End } from './fixtures/programs.js'
import { Scene } from './support/scene.js'
import { isAlive, Supervisor, startSupervised, supervised } from './support/supervised.js'

const readyLater = { ready: 'manual' } as const

/** Whole ones alone: one may be half written. */
const lines = (scene: Scene, name: string) => (scene.exists(name) ? scene.read(name).split('\n').slice(0, -1) : [])

test('the old worker goes on until the new one is ready, and then stops gracefully', async t => {
  const scene = new Scene(t)
  const slow = supervised('bootsSlowlyWhere', 'new', { workers: 2, ...readyLater }, 'takes its time')
  const supervisor = await startSupervised(scene, slow)
  const before = await supervisor.pids(2)
  scene.write('new', '')
  const reloaded = reload(scene.path('d.pid'))
  await scene.until('the first successor boots', () => lines(scene, 'booting').length === 1)
  t.true(before.every(isAlive))
  t.is(supervisor.children().length, 3, 'one at a time')
  scene.write('go', '')
  await reloaded
  const after = await supervisor.pids(2, before)
  t.deepEqual(lines(scene, 'booting').map(Number), after.filter(isAlive))
  t.deepEqual(lines(scene, 'stopped').map(Number).sort(), before.toSorted())
  t.regex(supervisor.log, new RegExp(`info: pid ${after[0]} takes the place of pid ${before[0]}\n`))
})

test('a `current` link that points elsewhere now is followed', async t => {
  const scene = new Scene(t)
  const [fixture, ...given] = supervised('tellsItsRelease', { workers: 1 })
  const own = (release: string) => `globalThis.release = '${release} ' + import.meta.url.split('/').slice(-2).join('/')
await import('${pathToFileURL(fixture)}')`
  for (const release of ['one', 'two']) {
    mkdirSync(scene.path(release))
    writeFileSync(scene.path(`${release}/server.js`), own(release))
    writeFileSync(scene.path(`${release}/package.json`), '{"type":"module"}')
  }
  symlinkSync('one', scene.path('current'))
  const { code, stderr } = await scene.node([scene.path('current/server.js'), ...given])
  t.is(code, 0, stderr)
  const supervisor = new Supervisor(scene, Number(scene.read('d.pid')))
  const worker = await supervisor.worker()
  symlinkSync('two', scene.path('next'))
  renameSync(scene.path('next'), scene.path('current'))
  await reload(scene.path('d.pid'))
  await supervisor.worker([worker])
  t.is(lines(scene, 'releases').at(-1), 'two two/server.js')
})

// ── A new program that doesn't get ready ─────────────────────────────────────────────────

const BROKEN: Record<string, [how: End, says: RegExp]> = {
  throws: [{ throws: 'no database' }, /ended with 1; it wrote:\n.*Error: no database/s],
  exits: [{ says: 'no licence', exits: 7 }, /ended with 7; it wrote:\n.*no licence/s],
  'exits with 0': [{ exits: 0 }, /ended with 0$/],
  'is killed': [{ kills: 'SIGKILL' }, /killed by SIGKILL$/],
  'is never ready': [{ says: 'waiting', hangs: 'waiting' }, /was not ready after 5000 ms; it wrote:\n.*waiting/s],
}

for (const [what, [how, says]] of Object.entries(BROKEN)) {
  test(`where the new one ${what} the reload fails and says why; the old ones go on`, async t => {
    const scene = new Scene(t)
    // A clean log: what the old ones write is theirs.
    const options = { workers: 2, startTimeout: 5_000, ...readyLater }
    const supervisor = await startSupervised(scene, supervised('endsWhere', 'broken', how, options))
    const before = await supervisor.pids(2)
    scene.write('broken', '')
    const error = await t.throwsAsync(reload(scene.path('d.pid')), { code: 'ERR_DAEMON_RELOAD' })
    t.regex(error?.message ?? '', says)
    t.regex(error?.message ?? '', /the new worker \(pid \d+\)/)
    t.deepEqual(await supervisor.pids(2), before)
    t.deepEqual(supervisor.children(), before)
    t.regex(supervisor.log, /error: the reload failed: .*; those that run go on\n/)
    scene.remove('broken')
    await reload(scene.path('d.pid'))
    await supervisor.pids(2, before)
  })
}

test('the same where its outputs go nowhere: the new one’s stderr is told', async t => {
  const scene = new Scene(t)
  const how = { says: 'no licence', exits: 7 }
  const failing = supervised('endsWhere', 'broken', how, { workers: 1, log: 'ignore' })
  const supervisor = await startSupervised(scene, failing)
  const worker = await supervisor.worker()
  scene.write('broken', '')
  const error = await t.throwsAsync(reload(scene.path('d.pid')), { code: 'ERR_DAEMON_RELOAD' })
  t.regex(error?.message ?? '', /ended with 7; it wrote:\nno licence$/)
  t.is(await supervisor.worker(), worker)
})

test('where the program’s file was removed, likewise', async t => {
  const scene = new Scene(t)
  const supervisor = await startSupervised(scene, scene.entry('program.mjs', supervised('stays', { workers: 2 })))
  const before = await supervisor.pids(2)
  scene.remove('program.mjs')
  const error = await t.throwsAsync(reload(scene.path('d.pid')), { code: 'ERR_DAEMON_RELOAD' })
  t.regex(error?.message ?? '', /Cannot find module/)
  t.deepEqual(await supervisor.pids(2), before)
})

// ── Reloads and what comes in between ────────────────────────────────────────────────────

test('two reloads at once both succeed', async t => {
  const scene = new Scene(t)
  const supervisor = await startSupervised(scene, { workers: 2 })
  const before = await supervisor.pids(2)
  await Promise.all([reload(scene.path('d.pid')), reload(scene.path('d.pid'))])
  const after = await supervisor.pids(2, before)
  t.deepEqual(supervisor.children().sort(), after.toSorted())
  t.is(
    supervisor.log.split('info: reloaded\n').length,
    3,
    'the second began after the first: it may have been asked for later',
  )
})

test('a TERM in the middle ends all, the reload fails', async t => {
  const scene = new Scene(t)
  const slow = supervised('bootsSlowlyWhere', 'new', { workers: 2, ...readyLater })
  const supervisor = await startSupervised(scene, slow)
  await supervisor.pids(2)
  scene.write('new', '')
  const reloaded = t.throwsAsync(reload(scene.path('d.pid')))
  await scene.until('the first successor boots', () => scene.exists('booting'))
  supervisor.signal('SIGTERM')
  t.like(await reloaded, { code: 'ERR_DAEMON_RELOAD', message: `${scene.path('d.pid')}: it is stopping` })
  await scene.empty()
  t.is(lines(scene, 'booting').length, 1)
  t.deepEqual(scene.files(), ['booting', 'd.log', 'new'])
})

test('a slot that waits for its next try gets it by the reload', async t => {
  const scene = new Scene(t)
  const options = { workers: 1, monitor: { maxDelay: 600_000 } }
  const supervisor = await startSupervised(scene, supervised('endsWhere', 'broken', { exits: 3 }, options))
  const worker = await supervisor.worker()
  scene.write('broken', '')
  process.kill(worker, 'SIGKILL')
  // By then the next try is more than three seconds away: far longer than a reload takes.
  await supervisor.logged(/waiting 1600 ms\n/)
  scene.remove('broken')
  await reload(scene.path('d.pid'))
  t.not(await supervisor.worker([worker]), worker)
  t.notRegex(supervisor.log, /waiting 3200 ms/)
})

test('a worker that crashes while its successor boots is replaced by that', async t => {
  const scene = new Scene(t)
  const slow = supervised('bootsSlowlyWhere', 'new', { workers: 1, ...readyLater })
  const supervisor = await startSupervised(scene, slow)
  const worker = await supervisor.worker()
  scene.write('new', '')
  const reloaded = reload(scene.path('d.pid'))
  const successor = await scene.until('the successor boots', () => lines(scene, 'booting')[0])
  process.kill(worker, 'SIGKILL')
  await supervisor.logged(/its successor is on its way\n/)
  scene.write('go', '')
  await reloaded
  t.is(await supervisor.worker(), Number(successor))
})

test('a reload while it is starting is refused', async t => {
  const scene = new Scene(t)
  const launcher = scene.node(supervised('isReadyAtGo', { workers: 1, ...readyLater }))
  await scene.until('it boots', () => scene.exists('booting'))
  await t.throwsAsync(reload(scene.path('d.pid')), { code: 'ERR_DAEMON_RELOAD', message: /: it is starting$/ })
  scene.write('go', '')
  t.is((await launcher).code, 0)
})
