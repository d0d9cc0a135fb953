// Sessions of OSSIM's frameworkd: start, stop, -v, its logs. The rows of docs/coming-from.md.
import { statSync } from 'node:fs'
import test from 'ava'
import { PidLock } from 'daemonic'
import { become } from '../support/inline.js'
import { startProgram } from '../support/program.js'
import { refused } from '../support/refused.js'
import { finished, fixture, Scene } from '../support/scene.js'
import { isAlive } from '../support/supervised.js'

function app(scene: Scene, ...args: string[]) {
  const run = { env: { DAEMONIC_RUNTIME_DIR: scene.path('run') }, detach: 'auto' as const }
  return scene.node([fixture('scripts/app'), ...args], run)
}

test('start, start again, stop, stop again', async t => {
  const scene = new Scene(t)
  t.is((await app(scene, 'start')).code, 0)
  const pid = Number(scene.read('run/app.pid'))
  t.is(statSync(scene.path('run/app.pid')).mode & 0o777, 0o644)
  const again = await app(scene, 'start')
  t.is(again.code, 1)
  t.regex(again.stderr, new RegExp(`^app: already running as pid ${pid} \\(.*/run/app\\.pid\\)\\n$`))
  const stopped = await app(scene, 'stop')
  t.is(stopped.code, 0)
  t.regex(stopped.stdout, new RegExp(`^app: stopped \\(pid ${pid}, `))
  t.false(isAlive(pid))
  t.false(scene.exists('run/app.pid'))
  const nothing = await app(scene, 'stop')
  t.is(nothing.code, 0)
  t.regex(nothing.stdout, /^app: not running \(.*\)\n$/)
})

test('a pid file that a crash has left', async t => {
  const scene = new Scene(t)
  await app(scene, 'start')
  process.kill(Number(scene.read('run/app.pid')), 'SIGKILL')
  await scene.empty()
  t.true(scene.exists('run/app.pid'))
  t.is((await app(scene, 'start')).code, 0)
  t.is(PidLock.inspect(scene.path('run/app.pid')).state, 'running')
})

test('-v and -vv', async t => {
  for (const [flag, count] of [
    ['-v', 1],
    ['-vv', 2],
  ] as const) {
    const scene = new Scene(t)
    await app(scene, 'start', flag)
    await app(scene, 'stop')
    const log = scene.read('app.log')
    t.regex(log, / info: started in the background /)
    t.is(/ debug: /.test(log), count > 1)
    t.deepEqual(JSON.parse(scene.read('main')).args, [], 'taken')
  }
})

test('TERM calls stop()', async t => {
  const scene = new Scene(t)
  const pid = await startProgram(scene, become(scene, {}, `daemon.onStop(signal => tell('told', signal))`))
  process.kill(pid)
  await scene.empty()
  t.is(scene.read('told'), 'SIGTERM\n')
  t.false(scene.exists('d.pid'))
})

test('Ctrl-C in the foreground', async t => {
  const scene = new Scene(t)
  const hook = `daemon.onStop(signal => tell('told', signal))`
  const child = scene.spawnNode(become(scene, {}, hook), { detach: 'false' })
  const end = finished(child)
  await scene.until('it runs', () => PidLock.inspect(scene.path('d.pid')).state === 'running')
  child.kill('SIGINT')
  t.is((await end).code, 0)
  t.is(scene.read('told'), 'SIGINT\n')
})

test('two logs', async t => {
  const scene = new Scene(t)
  const streams = { stdout: './frameworkd.log', stderr: { path: './frameworkd_error.log', mode: 0o644 } }
  await startProgram(scene, become(scene, streams, `console.log('info'); console.error('error')`))
  await scene.until('both are written', () => scene.read('frameworkd_error.log') === 'error\n')
  t.is(scene.read('frameworkd.log'), 'info\n')
  const mode = (name: string) => statSync(scene.path(name)).mode & 0o777
  t.deepEqual([mode('frameworkd.log'), mode('frameworkd_error.log')], [0o640, 0o644])
})

test('a log that can’t be opened', async t => {
  const scene = new Scene(t)
  const start = become(scene, { log: './missing/frameworkd.log' })
  await refused(t, scene, start, {
    says: /^cannot open the log .*\/missing\/frameworkd\.log \(stdout, stderr\): ENOENT/,
  })
})

test('what was printed before the start', async t => {
  const scene = new Scene(t)
  const lines = Array.from({ length: 2_000 }, (_, each) => `line ${each}`)
  const [program = ''] = become(scene, { log: 'ignore' })
  const printing = scene.write(
    'printing.mjs',
    `for (let i = 0; i < 2000; i++) console.log('line ' + i)\nawait import('${program}')\n`,
  )
  const { code, stdout } = await scene.by('bash', `"$@" | { sleep 0.3; cat; }`, [printing])
  t.is(code, 0)
  t.deepEqual(stdout.trimEnd().split('\n'), lines, 'whole, and once')
})
