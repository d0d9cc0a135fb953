// --overwrite-pid-file: the replaced daemon goes on, and touches nothing of the new one's.
import { statSync } from 'node:fs'
import test from 'ava'
import { PidLock } from 'daemonic'
import type { Programs } from './fixtures/migration.js'
import { cli } from './support/cli.js'
import { startProgram } from './support/program.js'
import { fixture, programs, Scene } from './support/scene.js'

const daemons = programs<Programs>('migration')

test('a supervisor that lost its pid file leaves control socket and state file to the new one', async t => {
  const scene = new Scene(t)
  const start = ['start', '--name', 'd']
  const script = fixture('scripts/stays')
  t.like(await cli(scene, [...start, script]), { code: 0 })
  const first = Number(scene.read('run/d.pid'))
  const started = await cli(scene, [...start, '--overwrite-pid-file', script])
  t.is(started.code, 0)
  const path = scene.path('run/d.pid')
  t.true(started.stderr.includes(`d: warning: taking over ${path} from pid ${first}, which goes on\n`), started.stderr)
  const second = Number(scene.read('run/d.pid'))
  t.not(second, first)
  const { ino } = statSync(scene.path('run/d.sock'))

  process.kill(first, 'SIGWINCH')
  process.kill(first, 'SIGHUP')
  process.kill(first, 'SIGTERM')
  await scene.until('the first supervisor has exited', () => !scene.processes().includes(first))
  t.is(statSync(scene.path('run/d.sock')).ino, ino)
  t.is(JSON.parse(scene.read('run/d.json')).pid, second)
  t.like(PidLock.inspect(path), { state: 'running', pid: second, verified: true })
  t.like(await cli(scene, ['stop', 'd']), { code: 0 })
  t.deepEqual(
    scene.files().filter(file => file.includes('pid')),
    [],
  )
})

test('a start with overwrite that fails leaves the old pid file as it was', async t => {
  const scene = new Scene(t)
  const pid = await startProgram(scene, daemons('stays'))
  const { ino } = statSync(scene.path('d.pid'))
  const pidFile = { path: scene.path('d.pid'), overwrite: true }
  const failed = await scene.node(daemons('fails', { pidFile }))
  t.is(failed.code, 1)
  t.is(statSync(scene.path('d.pid')).ino, ino)
  t.deepEqual(PidLock.inspect(scene.path('d.pid')), { state: 'running', pid, verified: true })

  const listen = { web: { path: scene.path('none/such') } }
  t.is((await scene.node(daemons('stays', { pidFile, listen }), { detach: 'false' })).code, 1)
  t.is(statSync(scene.path('d.pid')).ino, ino)

  t.is((await scene.node(daemons('stays', { pidFile }))).code, 0)
  t.not(Number(scene.read('d.pid')), pid)
  t.false(scene.files().some(file => file.startsWith('d.pid.')))
})
