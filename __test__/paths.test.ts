// Where the files of a daemon lie, and what a name without a slash means.
import { mkdirSync } from 'node:fs'
import test from 'ava'
import type { Programs } from './fixtures/paths.js'
import { asRoot } from './support/root.js'
import { programs, type RunOptions, Scene } from './support/scene.js'

const program = programs<Programs>('paths')
const USER = 65_534

asRoot('a daemon of an ordinary user is found again after the logout, and by cron', async t => {
  const scene = new Scene(t)
  scene.giveTo(USER)
  const as = (env: RunOptions['env']): RunOptions => ({
    uid: USER,
    gid: USER,
    env: { XDG_STATE_HOME: scene.path('state'), ...env },
  })
  const session = as({ XDG_RUNTIME_DIR: scene.path('session') })
  const cron = as({ XDG_RUNTIME_DIR: undefined })
  const becomes = program('becomes', { name: 'd', pidFile: true })
  t.is((await scene.node(becomes, session)).code, 0)
  t.true(scene.exists('state/daemonic/run/d.pid'))
  const { code, stderr } = await scene.node(becomes, cron)
  t.is(code, 1)
  t.regex(stderr, /already running/)
  t.is((await scene.node(program('looksAndStops', 'd.pid', 'd'), cron)).stdout, 'running running true\n')
})

asRoot('a user without a home has a run directory in the temporary one', async t => {
  const scene = new Scene(t)
  scene.giveTo(USER)
  const directories = { XDG_STATE_HOME: undefined, DAEMONIC_STATE_DIR: undefined, TMPDIR: scene.directory }
  const homeless = { HOME: '/nonexistent', ...directories }
  const run: RunOptions = { uid: USER, gid: USER, env: homeless }
  const { code, stderr } = await scene.node(program('becomes', { name: 'd', pidFile: true, log: true }), run)
  t.is(code, 0, stderr)
  t.true(scene.exists(`daemonic-${USER}/d.pid`))
  t.true(scene.exists(`daemonic-${USER}/d.log`))
})

test('a name without a slash is a file of the daemon’s own directories, whoever uses it', async t => {
  const scene = new Scene(t)
  const run: RunOptions = { env: { DAEMONIC_RUNTIME_DIR: scene.path('run'), DAEMONIC_STATE_DIR: scene.path('logs') } }
  const options = { name: 'd', pidFile: 'x.pid', log: 'x.log' }
  for (const target of ['x.pid', 'x', './run/x.pid']) {
    const { code, stderr } = await scene.node(program('becomes', options), run)
    t.is(code, 0, stderr)
    for (const file of ['run/x.pid', 'logs/x.log']) t.true(scene.exists(file), file)
    t.is((await scene.node(program('looksAndStops', 'x.pid', target), run)).stdout, 'running running true\n', target)
  }
  t.is((await scene.node(program('locks', 'y.pid'), run)).code, 0)
  mkdirSync(scene.path('own'))
  t.is((await scene.node(program('locks', './own/y.pid'), run)).code, 0)
  t.is(scene.read('locked'), `${scene.path('run/y.pid')}\n${scene.path('own/y.pid')}\n`)
})
