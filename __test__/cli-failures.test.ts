// `daemonic status` of what fails: a crash loop, a daemon that has failed for good, and the record of that.
import { statSync } from 'node:fs'
import test from 'ava'
import { status, targetOf } from 'daemonic'
import { cli, cliOnTerminal, isReadable, place, placeEnding, started } from './support/cli.js'
import { asRoot, NOBODY, withPython } from './support/locks.js'
import { Scene } from './support/scene.js'

/** Starts the program that fails when it is told to. */
async function startedFragile(scene: Scene, options: readonly string[] = [], name = 'web'): Promise<void> {
  place(scene, 'fails-when-told', `${name}.mjs`)
  const { code, stderr } = await cli(scene, ['start', ...options, `${name}.mjs`])
  if (code !== 0) throw new Error(`start ended with ${code}: ${stderr}`)
}

const stateOf = async (scene: Scene, name = 'web') => (await status(scene.path(`run/${name}.pid`))).state

/** Starts a daemon that then fails for good. */
async function failed(scene: Scene, options: readonly string[] = [], name = 'web'): Promise<void> {
  await startedFragile(scene, options, name)
  scene.write('fail', '')
  await scene.until('it has failed', async () => (await stateOf(scene, name)) === 'failed')
  scene.remove('fail')
}

test('a crash loop is failing, with restarts, the last exit and the wait: 1', async t => {
  const scene = new Scene(t)
  await startedFragile(scene, ['--monitor', '--max-delay', '60s'])
  t.is((await cli(scene, ['status', 'web'])).code, 0)
  scene.write('fail', '')
  await scene.until('it waits for more than a second', async () => {
    const { failure } = await status(scene.path('run/web.pid'))
    return (failure?.restartIn ?? 0) > 1_000
  })
  const shown = await cli(scene, ['status', 'web'])
  t.is(shown.code, 1)
  t.regex(
    shown.stdout,
    /^web +\d+ +failing +\d+s +0\/1 +[4-9] +next start in \d+s: ended with 1: Error: the disk is full$/m,
  )
  const [daemon] = JSON.parse((await cli(scene, ['status', '--json', 'web'])).stdout).daemons
  t.like(daemon, { state: 'failing', wantedWorkers: 1, failure: { lastExit: 'ended with 1: Error: the disk is full' } })
  t.true(daemon.restarts >= 4)
  t.is((await cli(scene, ['status'])).code, 0)
})

withPython('what fails is red', async t => {
  const scene = new Scene(t)
  await failed(scene)
  const { stdout } = await cliOnTerminal(scene, ['status'])
  // biome-ignore lint/suspicious/noControlCharactersInRegex: a colour
  t.regex(stdout, /\x1b\[31mweb +- +failed /)
})

test('what has failed for good is failed, with exit code, time and last line, until it is started again', async t => {
  const scene = new Scene(t)
  await failed(scene, ['--monitor', '--max-failures', '3'])
  const shown = await cli(scene, ['status', 'web'])
  t.is(shown.code, 1)
  t.regex(shown.stdout, /^web +- +failed +0\/1 +2 +exit code 1, \d+s ago: ended with 1: Error: the disk is full$/m)
  t.regex(shown.stderr, /^web: not running \(failed \d+s ago: ended with 1: Error: the disk is full\)\n/)
  t.is(statSync(scene.path('run/web.json')).mode & 0o777, 0o600)
  t.false(scene.exists('run/web.pid'))
  const listed = await cli(scene, ['status'])
  t.regex(listed.stdout, /^web +- +failed /m)
  t.regex(listed.stderr, /`daemonic restart NAME` starts one again, `daemonic status --clean` forgets them/)
  isReadable(t, listed)
  t.is((await cli(scene, ['stop', 'web'])).code, 0)
  t.is(await stateOf(scene), 'failed', 'nothing was stopped, so that there is nothing to forget')
  const again = await cli(scene, ['start', 'web.mjs'])
  t.is(again.code, 0, again.stderr)
  t.is(await stateOf(scene), 'running')
})

test('what died without --monitor is failed, what ended by itself or was stopped is not', async t => {
  const scene = new Scene(t)
  await failed(scene)
  await started(scene, 'stopped')
  t.is((await cli(scene, ['stop', 'stopped'])).code, 0)
  scene.write('done.mjs', 'setTimeout(() => {}, 200)')
  t.is((await cli(scene, ['start', 'done.mjs'])).code, 0)
  await scene.until('it has ended by itself', async () => (await stateOf(scene, 'done')) === 'stopped')
  const { daemons } = JSON.parse((await cli(scene, ['status', '--json'])).stdout)
  t.deepEqual(
    daemons.map((each: { name: string; state: string }) => [each.name, each.state]),
    [['web', 'failed']],
  )
})

test('`restart` starts what has failed, with as many workers as it was scaled to', async t => {
  const scene = new Scene(t)
  await startedFragile(scene, ['--workers', '1', '--max-failures', '2'])
  t.is((await cli(scene, ['scale', 'web', '+2'])).code, 0)
  scene.write('fail', '')
  await scene.until('it has failed', async () => (await stateOf(scene)) === 'failed')
  t.is((await status(scene.path('run/web.pid'))).wantedWorkers, 3)
  scene.remove('fail')
  for (const _ of ['failed', 'running']) {
    const { code, stderr } = await cli(scene, ['restart', 'web'], { cwd: '/' })
    t.is(code, 0, stderr)
    const { state, workers } = await status(scene.path('run/web.pid'))
    t.deepEqual([state, workers.length], ['running', 3])
  }
})

test('a start that fails at the prompt leaves no record', async t => {
  const scene = new Scene(t)
  placeEnding(scene, 'web.mjs', { says: 'broken', exits: 9 })
  t.is((await cli(scene, ['start', '--monitor', 'web.mjs'])).code, 9)
  t.is(await stateOf(scene), 'stopped')
  t.is((await cli(scene, ['status'])).stdout, '')
})

test('--clean forgets what has failed', async t => {
  const scene = new Scene(t)
  await failed(scene)
  const cleaned = await cli(scene, ['status', '--clean'])
  t.is(cleaned.code, 0, cleaned.stderr)
  t.regex(cleaned.stderr, /^web: removed what it left \(.*web\.pid\)\n$/)
  t.is(await stateOf(scene), 'stopped')
  t.false(scene.exists('run/web.json'))
})

test('what failed before the system was booted is stopped', async t => {
  const scene = new Scene(t)
  await failed(scene)
  const record = JSON.parse(scene.read('run/web.json'))
  scene.write('run/web.json', JSON.stringify({ ...record, bootId: 'another' }))
  const shown = await cli(scene, ['status', 'web'])
  t.is(shown.code, 3)
  t.regex(shown.stdout, /^web +- +stopped/m)
  t.is((await cli(scene, ['restart', 'web'])).code, 0)
})

asRoot('a record that somebody else put there is not believed', async t => {
  const scene = new Scene(t)
  await failed(scene)
  scene.giveTo(NOBODY, 'run/web.json')
  t.is((await cli(scene, ['status', 'web'])).code, 3)
  const restarted = await cli(scene, ['restart', 'web'])
  t.is(restarted.code, 1)
  t.regex(restarted.stderr, /belongs to user 65534/)
})

test('of instances that failed fifty are kept, for a day', async t => {
  const scene = new Scene(t)
  await startedFragile(scene, ['--instance', 'first'])
  scene.write('fail', '')
  await scene.until('it has failed', async () => (await stateOf(scene, targetOf('web', 'first'))) === 'failed')
  const [file = ''] = scene.files('run').filter(each => each.endsWith('.json'))
  const record = JSON.parse(scene.read(`run/${file}`))
  const put = (name: string, at: number) =>
    scene.write(`run/${name}.json`, JSON.stringify({ ...record, failure: { ...record.failure, at } }))
  const now = Date.now()
  for (let index = 0; index < 60; index++) put(`web@${index}`, now - index)
  put('plain', now - 10 * 86_400_000)
  place(scene, 'stays', 'other.mjs')
  t.is((await cli(scene, ['start', '--instance', 'another', 'other.mjs'])).code, 0)
  const left = scene.files('run').filter(each => /^web@.*json$/.test(each))
  t.is(left.length, 50)
  t.false(left.includes('web@59.json'))
  for (let index = 0; index < 50; index++) put(`web@${index}`, now - 86_400_001)
  t.is((await cli(scene, ['start', '--instance', 'third', 'other.mjs'])).code, 0)
  t.deepEqual(
    scene.files('run').filter(each => /^web@\d+\.json$/.test(each)),
    [],
  )
  t.is((await cli(scene, ['status', 'plain'])).code, 1)
})
