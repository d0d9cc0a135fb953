// SIGUSR2: the supervisor executes itself anew, as after an upgrade of the package, under its running workers.
import { chmodSync, chownSync, cpSync, mkdirSync, readdirSync, readlinkSync, renameSync, rmSync } from 'node:fs'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { PidLock, stop } from 'daemonic'
import { address, greeting, portOf } from './support/listening.js'
import { asRoot, NOBODY } from './support/locks.js'
import { fixture, Scene } from './support/scene.js'
import { foregroundSupervised, linkOf, type Supervisor, startSupervised, supervised } from './support/supervised.js'

const PACKAGE = 'node_modules/daemonic'
const LISTENING = { listen: { it: '127.0.0.1:0' } } as const

/** Once it has, `times` in all. */
async function executedAnew(supervisor: Supervisor, times = 1): Promise<void> {
  supervisor.signal('SIGUSR2')
  await supervisor.scene.until('it is executed anew', () => {
    return supervisor.log.split('info: executed anew\n').length === times + 1
  })
}

test('it keeps its pid, its lock, its workers and their sockets', async t => {
  const scene = new Scene(t)
  const supervisor = await startSupervised(scene, supervised('greets', { workers: 2, ...LISTENING }))
  const before = await supervisor.workers(2)
  const pids = before.map(({ pid }) => pid)
  const [first = 0] = pids
  const socket = linkOf(first, 3)
  const open = () => readdirSync(`/proc/${supervisor.pid}/fd`).length
  let had = Infinity
  for (const times of [1, 2, 3]) {
    await executedAnew(supervisor, times)
    t.deepEqual(await supervisor.pids(2), pids)
    if (times === 1) had = open()
  }
  await scene.until('it has no more descriptors than after the first time', () => open() <= had)
  t.deepEqual(PidLock.inspect(scene.path('d.pid')), { state: 'running', pid: supervisor.pid, verified: true })
  t.throws(() => PidLock.acquire(scene.path('d.pid')), { code: 'ERR_DAEMON_RUNNING' })
  t.is(supervisor.title, 'd: monitoring 2 workers (healthy)')
  t.is((await supervisor.status()).statusText, 'at work')
  t.true(((await supervisor.workers(2))[0]?.uptime ?? 0) >= (before[0]?.uptime ?? 0))
  const answer = await greeting({ port: portOf(await address(scene)), host: '127.0.0.1' })
  t.true(
    pids.some(pid => answer.endsWith(` ${pid}`)),
    answer,
  )
  t.is(linkOf(first, 3), socket)
})

test('it goes on to restart, to scale, to reload and to stop them', async t => {
  const scene = new Scene(t)
  const greeting = supervised('greets', { workers: 2, ...LISTENING }, 'tells its pid')
  const supervisor = await startSupervised(scene, greeting)
  await executedAnew(supervisor)
  const pids = await supervisor.pids(2)
  const [first = 0, second = 0] = pids
  const socket = linkOf(first, 3)
  process.kill(first, 'SIGKILL')
  const after = await supervisor.pids(2, [first])
  t.true(after.includes(second))
  await supervisor.ask({ do: 'scale', to: '3' })
  const three = await supervisor.pids(3)
  t.deepEqual(
    three.map(pid => linkOf(pid, 3)),
    [socket, socket, socket],
  )
  t.deepEqual(await supervisor.ask({ do: 'reload' }), { ok: true })
  const reloaded = await supervisor.pids(3, three)
  await executedAnew(supervisor, 2)
  const { forced } = await stop(scene.path('d.pid'))
  t.false(forced)
  const stopped = scene.read('stopped').trim().split('\n').map(Number)
  t.deepEqual(stopped.sort(), [...three, ...reloaded].sort())
  await scene.empty()
  t.deepEqual(scene.files(), ['d.log', 'indices', 'stopped'])
})

test('with reusePort every slot keeps its own socket', async t => {
  const scene = new Scene(t)
  const listen = { it: { host: '127.0.0.1', port: 0, reusePort: true } }
  const supervisor = await startSupervised(scene, supervised('greets', { workers: 2, listen }))
  const [first = 0, second = 0] = await supervisor.pids(2)
  const sockets = [linkOf(first, 3), linkOf(second, 3)]
  await executedAnew(supervisor)
  process.kill(second, 'SIGKILL')
  const after = await supervisor.pids(2, [second])
  t.deepEqual(after.map(pid => linkOf(pid, 3)).sort(), sockets.sort())
})

test('a worker that ends meanwhile is noticed', async t => {
  const scene = new Scene(t)
  const supervisor = await startSupervised(scene, { workers: 2 })
  const [first = 0] = await supervisor.pids(2)
  // Both are done when it goes on.
  supervisor.signal('SIGSTOP')
  supervisor.signal('SIGUSR2')
  process.kill(first, 'SIGKILL')
  supervisor.signal('SIGCONT')
  await supervisor.logged(/info: executed anew\n/)
  t.is((await supervisor.pids(2, [first])).length, 2)
})

test('in the foreground, too', async t => {
  const scene = new Scene(t)
  const { supervisor, child, end } = await foregroundSupervised(scene, { monitor: true })
  const worker = await supervisor.worker()
  let said = ''
  child.stderr?.on('data', text => (said += text))
  supervisor.signal('SIGUSR2')
  await scene.until('it is executed anew', () => said.includes('info: executed anew\n'))
  t.is(await supervisor.worker(), worker)
  supervisor.signal('SIGTERM')
  t.is((await end).code, 0)
})

test('what is under way is not disturbed: it says so and goes on', async t => {
  const scene = new Scene(t)
  const slow = supervised('bootsWithinMillisecondsWhere', 'slow', 500, { workers: 1, ready: 'manual' })
  const supervisor = await startSupervised(scene, slow)
  const worker = await supervisor.worker()
  scene.write('slow', '')
  const reloaded = supervisor.ask({ do: 'reload' })
  await supervisor.logged(/info: reloading\n/)
  supervisor.signal('SIGUSR2')
  await supervisor.logged(/warning: not executed anew: a start, stop or reload is under way\n/)
  t.deepEqual(await reloaded, { ok: true })
  t.not(await supervisor.worker([worker]), worker)
})

// ── Upgrades of the package ──────────────────────────────────────────────────────────────

/** The package as it lies in node_modules, and the fixtures beside it; gives the path of its executable. */
function install(scene: Scene): string {
  const root = fileURLToPath(new URL('../..', import.meta.url))
  mkdirSync(scene.path(`${PACKAGE}/dist`), { recursive: true })
  for (const part of ['package.json', 'native', 'dist/index.js', 'dist/preload.js']) {
    cpSync(`${root}/${part}`, scene.path(`${PACKAGE}/${part}`), { recursive: true })
  }
  cpSync(dirname(fixture('supervised')), scene.path('fixtures'), { recursive: true })
  scene.write('package.json', '{"type":"module"}')
  return scene.path(`${PACKAGE}/native/daemonic-supervisor`)
}

const BROKEN: Record<string, [text: string | null, says: RegExp]> = {
  'is not there': [null, /No such file or directory/],
  'is no executable': ['garbage', /Exec format error|does not understand the state/],
  'does not understand the state': ['#!/bin/sh\nexit 1\n', /does not understand the state of this one/],
}

for (const [what, [text, says]] of Object.entries(BROKEN)) {
  test(`where the new executable ${what}, all stays as it was`, async t => {
    const scene = new Scene(t)
    const executable = install(scene)
    const [, ...given] = supervised('stays', { workers: 2 })
    const supervisor = await startSupervised(scene, [scene.path('fixtures/supervised.js'), ...given])
    const pids = await supervisor.pids(2)
    renameSync(executable, `${executable}.good`)
    if (text !== null) chmodSync(scene.write(`${PACKAGE}/native/daemonic-supervisor`, text), 0o755)
    supervisor.signal('SIGUSR2')
    const [line] = await supervisor.logged(/error: not executed anew: .*; going on as before\n/)
    t.regex(line, says)
    t.deepEqual(await supervisor.pids(2), pids)
    const [first = 0] = pids
    process.kill(first, 'SIGKILL')
    await supervisor.pids(2, [first])
    // The next one is whole.
    rmSync(executable, { force: true })
    renameSync(`${executable}.good`, executable)
    await executedAnew(supervisor)
    t.is(readlinkSync(`/proc/${supervisor.pid}/exe`), executable)
  })
}

asRoot('with `user`, an executable that others than root can write is not executed', async t => {
  const scene = new Scene(t)
  const executable = install(scene)
  chmodSync(scene.directory, 0o755)
  const [, ...given] = supervised('stays', { monitor: true, user: NOBODY })
  const supervisor = await startSupervised(scene, [scene.path('fixtures/supervised.js'), ...given])
  chownSync(scene.path('node_modules'), NOBODY, NOBODY)
  rmSync(executable)
  scene.write(`${PACKAGE}/native/daemonic-supervisor`, `#!/bin/sh\nid -u > '${scene.path('ran')}'\n`)
  chmodSync(executable, 0o755)
  supervisor.signal('SIGUSR2')
  await supervisor.logged(
    /error: not executed anew: others than root can write \S+\/node_modules; going on as before\n/,
  )
  t.false(scene.exists('ran'))
})
