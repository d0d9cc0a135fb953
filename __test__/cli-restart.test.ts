// `daemonic restart`: as it was started, whoever started it.
import { closeSync, openSync, readFileSync, realpathSync } from 'node:fs'
import test from 'ava'
import { PidLock } from 'daemonic'
import { cli, isReadable, ownLines, place, placeEnding, started, workerOf } from './support/cli.js'
import { areWaiting, asRoot, NOBODY } from './support/locks.js'
import { Scene } from './support/scene.js'

const environment = (pid: number) => readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0')

test('what `start` started keeps its options, arguments and directory, from anywhere', async t => {
  const scene = new Scene(t)
  place(scene, 'prints-its-start', 'app.mjs')
  const options = ['--env', 'GIVEN=yes', '--umask', '077', '--log', 'own.log', '--name', 'mine']
  t.is((await cli(scene, ['start', ...options, 'app.mjs', 'x', '-y'], { env: { CALLER: 'first' } })).code, 0)
  const first = Number(scene.read('run/mine.pid'))
  const { code, stdout, stderr } = await cli(scene, ['restart', 'mine'], { cwd: '/', env: { CALLER: 'second' } })
  t.is(code, 0, stderr)
  const second = Number(scene.read('run/mine.pid'))
  t.not(second, first)
  t.regex(stdout, new RegExp(`^mine: running as pid ${second} \\(\\d+ ms\\)\n$`))
  await scene.until('both have logged', () => ownLines(scene, 'own.log').length === 2)
  const [one, two] = ownLines(scene, 'own.log')
  t.deepEqual(JSON.parse(one ?? ''), [['x', '-y'], 'yes', 'first', scene.directory, 0o077])
  t.deepEqual(JSON.parse(two ?? ''), [['x', '-y'], 'yes', 'second', scene.directory, 0o077])
})

test('a third start is like the second', async t => {
  const scene = new Scene(t)
  await started(scene, 'web', ['--env', 'GIVEN=yes'])
  for (const cwd of ['/', '/tmp']) t.is((await cli(scene, ['restart', 'web'], { cwd })).code, 0)
  const worker = await workerOf(scene, 'web')
  t.true(environment(worker).includes('GIVEN=yes'))
  t.is(realpathSync(`/proc/${worker}/cwd`), scene.directory)
})

test('a program that made itself a daemon is run again, in its directory, with its flags', async t => {
  const scene = new Scene(t)
  const path = place(scene, 'becomes-a-daemon', 'program.mjs')
  const env = { DAEMONIC_RUNTIME_DIR: scene.path('run') }
  t.is((await scene.node(path, { args: ['word'], execArgv: ['--stack-size=900'], env })).code, 0)
  const first = Number(scene.read('run/program.pid'))
  const { code, stdout, stderr } = await cli(scene, ['restart', 'program'], { cwd: '/', detach: 'auto' })
  t.is(code, 0, stderr)
  const second = Number(scene.read('run/program.pid'))
  t.not(first, second)
  t.regex(stdout, new RegExp(`^program: running as pid ${second} `))
  await scene.until('both have logged', () => ownLines(scene, 'd.log').length === 2)
  t.deepEqual(ownLines(scene, 'd.log'), ['word --stack-size=900', 'word --stack-size=900'])
})

test('what has crashed is started', async t => {
  const scene = new Scene(t)
  const pid = await started(scene)
  process.kill(pid, 'SIGKILL')
  await scene.until('it has ended', () => PidLock.inspect(scene.path('run/web.pid')).state === 'free')
  const { code, stdout, stderr } = await cli(scene, ['restart', 'web'])
  t.is(code, 0, stderr)
  t.regex(stdout, /^web: running as pid/)
})

test('what isn’t known can’t be restarted', async t => {
  const scene = new Scene(t)
  const result = await cli(scene, ['restart', 'nobody'])
  t.is(result.code, 1)
  t.regex(
    result.stderr,
    /^nobody: not running \(no pid file .*\), and how it was started is not known \(.*nobody\.json\): start it\n$/,
  )
  isReadable(t, result)
})

test('two restarts at once are one', async t => {
  const scene = new Scene(t)
  const first = await started(scene)
  // Both have been called before either begins.
  const lock = PidLock.acquire(scene.path('run/web.restart'))
  const both = Promise.all([cli(scene, ['restart', 'web']), cli(scene, ['restart', 'web'])])
  await areWaiting(scene, 2, 'run/web.restart')
  lock.release()
  const results = await both
  for (const { code, stderr } of results) t.is(code, 0, stderr)
  const { state, pid } = PidLock.inspect(scene.path('run/web.pid'))
  t.is(state, 'running')
  t.not(pid, first)
  const said = results.map(({ stdout }) => stdout).join('')
  t.is(said.split(`running as pid ${pid}`).length, 3, said)
  t.regex(said, /restarted meanwhile/)
  t.false(scene.exists('run/web.restart'))
})

test('a start that fails ends with the program’s code, and the old one is gone', async t => {
  const scene = new Scene(t)
  await started(scene)
  placeEnding(scene, 'web.mjs', { says: 'broken', exits: 9 })
  const result = await cli(scene, ['restart', 'web'])
  t.is(result.code, 9)
  t.regex(result.stderr, /^web: the daemon exited with 9 before it was ready; it wrote:\n {4}broken\n/)
  isReadable(t, result)
  place(scene, 'server', 'web.mjs')
})

test('the caller’s descriptors are not taken for the next caller’s, nor is the pid file taken over again', async t => {
  const scene = new Scene(t)
  const first = await started(scene)
  const fd = openSync(scene.write('fd', ''), 'a+')
  const { code, stderr } = await cli(
    scene,
    ['start', '--overwrite-pid-file', '--stdin', '3', '--log', '3', '--stderr', 'e.log', '--preserve', '3', 'web.mjs'],
    { stdio: ['ignore', 'pipe', 'pipe', fd] },
  )
  closeSync(fd)
  process.kill(first)
  t.is(code, 0, stderr)
  const { options } = JSON.parse(scene.read('run/web.json')).launch
  t.deepEqual(
    [options.stdin, options.log, options.preserve, options.pidFile],
    [undefined, undefined, undefined, { path: 'web.pid' }],
  )
  t.is(options.stderr, scene.path('e.log'))
  t.is((await cli(scene, ['restart', 'web'])).code, 0)
})

test('what can’t be started isn’t stopped', async t => {
  const scene = new Scene(t)
  const pid = await started(scene)
  scene.remove('web.mjs')
  const result = await cli(scene, ['restart', 'web'], { cwd: '/' })
  t.is(result.code, 127)
  t.regex(result.stderr, /^web: cannot execute .*web\.mjs: ENOENT/)
  t.deepEqual(PidLock.inspect(scene.path('run/web.pid')), { state: 'running', pid, verified: true })
})

test('after a start that failed it is still known how it is started', async t => {
  const scene = new Scene(t)
  await started(scene, 'web', ['--env', 'GIVEN=yes'])
  placeEnding(scene, 'web.mjs', { exits: 9 })
  for (const _ of [1, 2]) t.is((await cli(scene, ['restart', 'web'], { cwd: '/' })).code, 9)
  place(scene, 'server', 'web.mjs')
  const { code, stderr } = await cli(scene, ['restart', 'web'], { cwd: '/' })
  t.is(code, 0, stderr)
  t.true(environment(await workerOf(scene, 'web')).includes('GIVEN=yes'))
})

test('a program that made itself a daemon, and then fails, can be restarted when it is mended', async t => {
  const scene = new Scene(t)
  const env = { DAEMONIC_RUNTIME_DIR: scene.path('run') }
  const path = place(scene, 'becomes-a-daemon', 'program.mjs')
  const text = scene.read('program.mjs')
  t.is((await scene.node(path, { env })).code, 0)
  placeEnding(scene, 'program.mjs', { exits: 9 })
  t.is((await cli(scene, ['restart', 'program'], { cwd: '/', detach: 'auto' })).code, 9)
  scene.write('program.mjs', text)
  const { code, stderr } = await cli(scene, ['restart', 'program'], { cwd: '/', detach: 'auto' })
  t.is(code, 0, stderr)
})

asRoot('what another user’s file says is not executed', async t => {
  const scene = new Scene(t)
  scene.giveTo(NOBODY)
  const stranger = { uid: NOBODY, gid: NOBODY }
  place(scene, 'server', 'web.mjs')
  t.is((await cli(scene, ['start', '--pid-file', './d.pid', 'web.mjs'], stranger)).code, 0)
  const result = await cli(scene, ['restart', './d.pid'])
  t.is(result.code, 1)
  t.regex(result.stderr, /d\.json belongs to user 65534: restart it as that user/)
  t.is(PidLock.inspect(scene.path('d.pid')).state, 'running')
})
