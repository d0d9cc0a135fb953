// Another system's daemon during a migration: it runs, and its pid file names it, but it locks nothing.
import { utimesSync } from 'node:fs'
import test from 'ava'
import { type DaemonError, PidLock, stop } from 'daemonic'
import type { Programs } from './fixtures/migration.js'
import { cli } from './support/cli.js'
import { bystander } from './support/locks.js'
import { fixture, programs, Scene } from './support/scene.js'

const daemons = programs<Programs>('migration')

test('a live process that an unlocked pid file names is told of, and left alone with its file', async t => {
  const scene = new Scene(t)
  const other = bystander(scene)
  const path = scene.write('d.pid', `${other.pid}\n`)
  const says = `pid ${other.pid} runs and is named in ${path}, but doesn't lock it: stop it with its own command`

  const error = await t.throwsAsync<DaemonError>(stop(path), { code: 'ERR_DAEMON_UNVERIFIED' })
  t.regex(
    error?.message ?? '',
    new RegExp(`stop it with its own command \\(pid ${other.pid}\\); nothing was signalled`),
  )
  const stopped = await cli(scene, ['stop', path])
  t.is(stopped.code, 1)
  t.regex(stopped.stderr, /stop it with its own command/)
  t.true((await cli(scene, ['status', path])).stderr.includes(says))
  t.is(scene.read('d.pid'), `${other.pid}\n`)
  t.true(await other.lives())
})

test('a start beside such a process warns of it, and goes on', async t => {
  const scene = new Scene(t)
  const other = bystander(scene)
  const path = scene.write('d.pid', `${other.pid}\n`)
  const warning = `d: warning: ${path} names pid ${other.pid}, which runs and doesn't lock it; starting beside it\n`
  const { code, stderr } = await scene.node(daemons('stays'))
  t.deepEqual({ code, stderr }, { code: 0, stderr: warning })
  t.true(PidLock.inspect(path).verified)
  t.like(await stop(path), { wasRunning: true })

  scene.write('d.pid', `${other.pid}\n`)
  const started = await cli(scene, ['start', '--name', 'd', '--pid-file', path, fixture('scripts/stays')])
  t.is(started.code, 0)
  t.true(started.stderr.includes(warning), started.stderr)
  t.true(await other.lives())
})

test('a process that got the pid of an exited daemon is not meant', async t => {
  const scene = new Scene(t)
  const other = bystander(scene)
  const path = scene.write('d.pid', `${other.pid}\n`)
  const before = new Date(Date.now() - 3_600_000)
  utimesSync(path, before, before)
  t.like(await stop(path), { pid: null, wasRunning: false })
  t.false(scene.exists('d.pid'))
  t.true(await other.lives())
})
