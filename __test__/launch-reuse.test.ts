// launch() with `ifRunning: 'reuse'`: any number of callers, one daemon.
import test from 'ava'
import { PidLock, status, stop } from 'daemonic'
import { launched, launchMany, launchOnce, type Told } from './support/launching.js'
import { Scene } from './support/scene.js'

const CALLERS = 50
/** Milliseconds from a program's start until it is ready. */
const SLOW = 300

function pids(all: readonly Told[]): number[] {
  return [...new Set(all.map(each => each.pid ?? 0))]
}

/** The pid of the one that starts; its line may not be there yet when its file is. */
function starting(scene: Scene): Promise<number> {
  return scene.until('it starts', () =>
    scene.exists('starts') ? Number.parseInt(scene.read('starts'), 10) || null : null,
  )
}

test(`${CALLERS} concurrent callers end with one daemon, and each resolves only once it is ready`, async t => {
  const scene = new Scene(t)
  const program = launched('tellsItsStartAndIsReadyAfter', SLOW)
  const all = await launchMany(scene, CALLERS, program, {
    ifRunning: 'reuse',
    listen: { main: { path: true } },
    ready: 'loaded',
  })
  t.deepEqual(
    all.filter(each => each.error),
    [],
  )
  t.deepEqual(pids(all), [PidLock.inspect(scene.path('d.pid')).pid ?? -1])
  t.is(all.filter(each => each.started).length, 1)
  t.true(all.every(each => each.wasReady))
  t.true(all.every(each => each.addresses?.main === scene.path('d.main.sock') && each.pidFile === scene.path('d.pid')))
  t.is(scene.read('starts').trimEnd().split('\n').length, 1)
})

test('if the first one dies before it is ready, another is started, and nobody hangs', async t => {
  const scene = new Scene(t)
  const program = launched('failsOnceAfter', SLOW, { exits: 4 })
  const all = await launchMany(scene, 20, program, { ifRunning: 'reuse' })
  const failed = all.filter(each => each.error)
  t.is(failed.length, 1)
  t.like(failed[0]?.error, { code: 'ERR_DAEMON_START', exitCode: 4 })
  t.is(pids(all.filter(each => !each.error)).length, 1)
  t.is(scene.read('starts').trimEnd().split('\n').length, 2)
})

test('if none ever gets ready, every caller hears why', async t => {
  const scene = new Scene(t)
  const program = launched('failsAfter', 50, { throws: 'no database' })
  const all = await launchMany(scene, 8, program, { ifRunning: 'reuse' })
  t.true(all.every(each => each.error?.message.includes('no database')))
  t.deepEqual(scene.processes(), [])
})

test('if the first one is killed while it starts, those who wait start another', async t => {
  const scene = new Scene(t)
  const program = launched('failsOnceAfter', 0, { hangs: 'waiting' })
  const all = launchMany(scene, 10, program, { ifRunning: 'reuse' })
  const first = await starting(scene)
  process.kill(first, 'SIGKILL')
  const told = await all
  // Whoever started the first hears of its end.
  const codes = told.flatMap(({ error }) => (error ? [error.code] : []))
  t.deepEqual(codes, ['ERR_DAEMON_START'], JSON.stringify(told))
  t.is(pids(told.filter(each => !each.error)).length, 1)
})

test('one that somebody else starts is waited for no longer than `startTimeout`, and left alone', async t => {
  const scene = new Scene(t)
  const program = launched('tellsItsStartAndIsNeverReady')
  const first = launchOnce(scene, program, { startTimeout: 60_000 })
  const pid = await starting(scene)
  const { error } = await launchOnce(scene, program, { ifRunning: 'reuse', startTimeout: 200 })
  t.like(error, { code: 'ERR_DAEMON_START_TIMEOUT', exitCode: 124 })
  t.is(PidLock.inspect(scene.path('d.pid')).pid, pid)
  process.kill(pid, 'SIGKILL')
  t.is((await first).error?.code, 'ERR_DAEMON_START')
})

test('a daemon of another version is replaced once, also when many callers find out together', async t => {
  const scene = new Scene(t)
  const program = launched('tellsItsStart')
  const options = { ifRunning: 'reuse', log: './d.log' } as const
  const { pid: old } = await launchOnce(scene, program, { ...options, version: '1' })
  t.is((await launchOnce(scene, program, { ...options, version: '1' })).pid, old)
  t.is((await launchOnce(scene, program, options)).pid, old, 'without a version any will do')

  const all = await launchMany(scene, CALLERS, program, { ...options, version: '2' })
  t.deepEqual(
    all.filter(each => each.error),
    [],
  )
  const [pid, ...others] = pids(all)
  t.deepEqual(others, [])
  t.not(pid, old)
  t.is(all.filter(each => each.started).length, 1)
  t.is(scene.read('starts').trimEnd().split('\n').length, 2)
  t.is((await status(scene.path('d.pid'))).version, '2')
  t.regex(scene.read('d.log'), /^\S+ d\[\d+\] info: stopping on SIGTERM\n$/, 'stopped once, by one signal')
})

test('one that has no version is of another version', async t => {
  const scene = new Scene(t)
  const program = launched('stays')
  const { pid } = await launchOnce(scene, program)
  const { pid: second, started } = await launchOnce(scene, program, { ifRunning: 'reuse', version: '1' })
  t.true(started)
  t.not(second, pid)
})

test('a daemon that is just ending is waited for, and followed by a new one', async t => {
  const scene = new Scene(t)
  const program = launched('takesTimeToStop', 500)
  const { pid } = await launchOnce(scene, program)
  const stopped = stop(scene.path('d.pid'))
  await scene.until('it is stopping', () => scene.exists('stopping'))
  const { pid: next, started, error } = await launchOnce(scene, program, { ifRunning: 'reuse' })
  t.is(error, undefined)
  t.true(started)
  t.not(next, pid)
  t.is((await stopped).pid, pid ?? null)
})

test('instances are daemons of their own, whatever their names look like', async t => {
  const scene = new Scene(t)
  const program = launched('stays')
  const instances = ['/home/me/project', '/home/me/project/', `/${'long/'.repeat(200)}`, 'ü\n"\\']
  const all: Told[][] = []
  for (const instance of instances) all.push(await launchMany(scene, 2, program, { ifRunning: 'reuse', instance }))
  t.is(pids(all.flat()).length, instances.length)
  for (const [index, [told]] of all.entries()) {
    t.regex(told?.pidFile ?? '', /\/d@[0-9a-f]{12}\.pid$/)
    t.is((await status(told?.pidFile ?? '')).instance, instances[index] ?? '')
  }
})
