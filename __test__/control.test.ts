// Stopping, signalling and asking a daemon, from outside.
import { readFileSync, statSync } from 'node:fs'
import { constants } from 'node:os'
import test from 'ava'
import { type DaemonError, OptionError, PidLock, processInfo, signal, status, stop } from 'daemonic'
import type { Programs } from './fixtures/control.js'
import { asRoot, killed, NOBODY, owner } from './support/locks.js'
import { startProgram } from './support/program.js'
import { type Program, programs, type RunOptions, Scene } from './support/scene.js'

const NOWHERE = { state: 'absent', pid: null, verified: false }
/** The default of stopTimeout, milliseconds. */
const STOP_TIMEOUT = 25_000
/** What a daemon that ends at once may take on a busy machine, milliseconds. */
const SOON = 5_000
/** How long a daemon takes to stop, so that a second signal had time to come, milliseconds. */
const LINGER = 350

/** Who may name a target in a run directory of the test's own: root's is the system's. */
const user = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {}

const program = programs<Programs>('control')

/** Does something with the library in a process of its own; gives the result, or the error's parts. */
async function elsewhere(scene: Scene, calling: Program, run: RunOptions = {}) {
  const { stdout, stderr } = await scene.node(calling, run)
  if (!stdout) throw new Error(stderr)
  return JSON.parse(stdout)
}

// In turn: what takes how long is measured.
test.serial('stop ends the daemon by its own means, waits for its end, and leaves no file', async t => {
  const scene = new Scene(t)
  const pid = await startProgram(scene, program('tellsOfItsStop'))
  const { elapsed, ...stopped } = await stop(scene.path('d.pid'))
  t.deepEqual(stopped, { pid, wasRunning: true, forced: false, exitCode: null, killed: [] })
  t.true(elapsed > 0 && elapsed < SOON, `${elapsed} ms`)
  t.deepEqual(scene.processes(), [])
  t.is(scene.read('hook'), 'SIGTERM\n')
  t.deepEqual(scene.files(), ['hook'])
})

test.serial('a daemon that ignores the signal is killed at the timeout', async t => {
  const scene = new Scene(t)
  const pid = await startProgram(scene, program('stays', { signals: { SIGTERM: 'ignore' } }))
  const { elapsed, ...stopped } = await stop(scene.path('d.pid'), { timeout: 200 })
  t.deepEqual(stopped, { pid, wasRunning: true, forced: true, exitCode: null, killed: [] })
  t.true(elapsed >= 199 && elapsed < 200 + SOON, `${elapsed} ms`)
  t.deepEqual(scene.processes(), [])
  t.deepEqual(scene.files(), [])
})

test.serial('the timeout is the daemon’s own, and some seconds, unless it is given', async t => {
  const scene = new Scene(t)
  await startProgram(scene, program('stays', { stopTimeout: 100, signals: { SIGTERM: 'ignore' } }))
  const { forced, elapsed } = await stop(scene.path('d.pid'))
  t.true(forced)
  t.true(elapsed >= 2_099 && elapsed < 2_100 + SOON, `${elapsed} ms`)
})

test('a daemon that ignores the signal goes on where force is not wanted, and the error says so', async t => {
  const scene = new Scene(t)
  const pid = await startProgram(scene, program('stays', { signals: { SIGTERM: 'ignore' } }))
  const error = await t.throwsAsync<DaemonError>(stop(scene.path('d.pid'), { timeout: 100, force: false }), {
    code: 'ERR_DAEMON_STOP_TIMEOUT',
  })
  t.regex(error?.message ?? '', new RegExp(`^pid ${pid} still runs \\d+ ms after SIGTERM \\(.*/d\\.pid\\)$`))
  t.deepEqual(scene.processes(), [pid])
  t.deepEqual(PidLock.inspect(scene.path('d.pid')), { state: 'running', pid, verified: true })
})

test('stop sends the signal that it is given, and a stopped process ends too', async t => {
  const scene = new Scene(t)
  const pid = await startProgram(scene, program('tellsOfItsStop'))
  t.like(await stop(scene.path('d.pid'), { signal: 'SIGINT' }), { pid, forced: false })
  t.is(scene.read('hook'), 'SIGINT\n')
  const second = await startProgram(scene, program('stays'))
  process.kill(second, 'SIGSTOP')
  t.like(await stop(scene.path('d.pid'), { timeout: 100 }), { pid: second, forced: true })
})

test('one signal is sent, however long the daemon takes', async t => {
  const scene = new Scene(t)
  await startProgram(scene, program('takesItsTime', LINGER))
  const { elapsed, forced } = await stop(scene.path('d.pid'))
  t.false(forced)
  t.true(elapsed >= LINGER - 1, `${elapsed} ms`)
  t.is(scene.read('terms'), 'x\n')
})

test('several stops at once all see the daemon’s end', async t => {
  const scene = new Scene(t)
  const pid = await startProgram(scene, program('takesItsTime', LINGER))
  const stops = await Promise.all(Array.from({ length: 6 }, () => stop(scene.path('d.pid'))))
  for (const { elapsed: _, ...stopped } of stops)
    t.deepEqual(stopped, { pid, wasRunning: true, forced: false, exitCode: null, killed: [] })
})

test('where nothing runs, stop says so, and removes a stale file and what lies beside it', async t => {
  const scene = new Scene(t)
  t.like(await stop(scene.path('d.pid')), { pid: null, wasRunning: false, forced: false })
  const pid = await startProgram(scene, program('stays'))
  process.kill(pid, 'SIGKILL')
  await scene.empty()
  t.deepEqual(scene.files(), ['d.json', 'd.pid'])
  t.like(await stop(scene.path('d.pid')), { pid: null, wasRunning: false, forced: false })
  t.deepEqual(scene.files(), [])
})

test('a daemon that is killed while it is being stopped leaves nothing either', async t => {
  const scene = new Scene(t)
  const pid = await startProgram(scene, program('takesItsTime', null))
  const stopping = stop(scene.path('d.pid'))
  await scene.until('the signal has come', () => scene.exists('terms'))
  process.kill(pid, 'SIGKILL')
  t.like(await stopping, { pid, wasRunning: true, forced: false })
  t.deepEqual(scene.files(), ['terms'])
})

test('signals reach the daemon', async t => {
  const scene = new Scene(t)
  const pid = await startProgram(scene, program('tellsSignals'))
  for (const [name, says] of [
    ['SIGUSR2', 'SIGUSR2'],
    ['SIGHUP', 'reload'],
  ] as const) {
    await signal(scene.path('d.pid'), name)
    await scene.until(`${name} has come`, () => scene.exists('signals') && scene.read('signals') === `${says}\n`)
    scene.remove('signals')
  }
  t.deepEqual(scene.processes(), [pid])
})

test('a signal that would end a booting daemon waits until it is ready', async t => {
  const scene = new Scene(t)
  const launcher = scene.node(program('bootsLate'))
  await scene.until('the daemon boots', () => scene.exists('booting'))
  t.is(PidLock.inspect(scene.path('d.pid')).state, 'starting')
  let sent = false
  const sending = signal(scene.path('d.pid'), 'SIGHUP').finally(() => (sent = true))
  await scene.until('it waits for the file', () => readFileSync('/proc/locks', 'utf8').includes(blocked(scene)))
  t.false(sent)
  scene.write('go', '')
  await sending
  t.is((await launcher).code, 0)
  await scene.until('it has reloaded', () => scene.exists('signals'))
})

test('one that waits for a daemon which then fails to start is told that nothing runs', async t => {
  const scene = new Scene(t)
  const launcher = scene.node(program('isNeverReady'))
  const pid = await scene.until(
    'the daemon boots',
    () => scene.exists('booting') && PidLock.inspect(scene.path('d.pid')).pid,
  )
  const sending = t.throwsAsync(signal(scene.path('d.pid'), 'SIGHUP'), { code: 'ERR_DAEMON_NOT_RUNNING' })
  await scene.until('it waits for the file', () => readFileSync('/proc/locks', 'utf8').includes(blocked(scene)))
  process.kill(pid, 'SIGKILL')
  t.is((await launcher).code, 137)
  await sending
})

test('a starting daemon can be stopped at once, and its launcher hears of it', async t => {
  const scene = new Scene(t)
  const launcher = scene.node(program('isNeverReady'))
  const pid = await scene.until(
    'the daemon boots',
    () => scene.exists('booting') && PidLock.inspect(scene.path('d.pid')).pid,
  )
  t.like(await stop(scene.path('d.pid')), { pid, wasRunning: true, forced: false })
  const { code, stderr } = await launcher
  t.is(code, 1, stderr)
  t.deepEqual(scene.files(), ['booting'])
})

test('a signal to nobody is an error', async t => {
  const scene = new Scene(t)
  const error = await t.throwsAsync<DaemonError>(signal(scene.path('d.pid'), 'SIGHUP'))
  t.like(error, { code: 'ERR_DAEMON_NOT_RUNNING', exitCode: 7, message: `not running (${scene.path('d.pid')})` })
  await killed(await owner(scene))
  await t.throwsAsync(signal(scene.path('d.pid'), 'SIGTERM'), { code: 'ERR_DAEMON_NOT_RUNNING' })
  t.true(scene.exists('d.pid'))
})

test('every signal that Node knows is one, and nothing else', async t => {
  const scene = new Scene(t)
  for (const name of Object.keys(constants.signals) as NodeJS.Signals[]) {
    await t.throwsAsync(signal(scene.path('d.pid'), name), { code: 'ERR_DAEMON_NOT_RUNNING' }, name)
  }
  for (const name of ['TERM', 'sigterm', '', 'SIGNOTHING', 'toString', 15, null]) {
    const bad = name as NodeJS.Signals
    await t.throwsAsync(signal(scene.path('d.pid'), bad), { code: 'ERR_DAEMON_OPTION' }, String(name))
    await t.throwsAsync(stop(scene.path('d.pid'), { signal: bad }), { instanceOf: OptionError }, String(name))
  }
  await t.throwsAsync(stop(scene.path('d.pid'), { timeout: Number.NaN }), { instanceOf: OptionError })
})

asRoot('another user’s daemon is refused with the reason, and goes on', async t => {
  const scene = new Scene(t)
  const pid = await startProgram(scene, program('stays'))
  scene.giveTo(NOBODY)
  const path = scene.path('d.pid')
  for (const calling of [program('calls', 'stop', path), program('calls', 'signal', path, 'SIGHUP')]) {
    const { name, code, message, exitCode } = await elsewhere(scene, calling, { uid: NOBODY, gid: NOBODY })
    t.like({ name, code, exitCode }, { name: 'SystemCallError', code: 'EPERM', exitCode: 1 })
    t.regex(
      message,
      /^cannot send the signal to the owner of .*d\.pid: EPERM, operation not permitted; it belongs to root$/,
    )
  }
  t.deepEqual(PidLock.inspect(scene.path('d.pid')), { state: 'running', pid, verified: true })
})

test('a target without a slash is a name in the run directory', async t => {
  const scene = new Scene(t)
  if (user.uid !== undefined) scene.giveTo(user.uid)
  t.is((await scene.node(program('stays', { name: 'web', pidFile: true }), user)).code, 0)
  const pidFile = 'daemonic/run/web.pid'
  const pid = Number(scene.read(pidFile))
  t.like(await elsewhere(scene, program('calls', 'status', 'web'), user), { name: 'web', state: 'running', pid })
  t.is(await elsewhere(scene, program('calls', 'signal', 'web', 'SIGHUP'), user), null)
  t.like(await elsewhere(scene, program('calls', 'stop', 'web'), user), { pid, wasRunning: true, forced: false })
  t.false(scene.exists(pidFile))
  t.like(await elsewhere(scene, program('calls', 'stop', 'other'), user), { wasRunning: false })
})

test('status tells what the daemon is, from the kernel and its own words', async t => {
  const scene = new Scene(t)
  const listen = { web: '127.0.0.1:0', admin: './admin.sock' }
  const options = { stopTimeout: 1234, log: './d.log', listen }
  const pid = await startProgram(scene, program('saysItsStatus', options, 'serving  all\n of them'))
  const { workers, uptime, addresses, ...report } = await status(scene.path('d.pid'))
  t.deepEqual(report, {
    state: 'running',
    pid,
    verified: true,
    name: 'd',
    instance: null,
    version: null,
    statusText: 'serving all of them',
    logs: [scene.path('d.log')],
    stopTimeout: 1234,
    wantedWorkers: 1,
    restarts: 0,
    failure: null,
  })
  t.deepEqual(Object.keys(addresses).sort(), ['admin', 'web'])
  t.regex(addresses.web ?? '', /^127\.0\.0\.1:\d+$/)
  t.is(addresses.admin, scene.path('admin.sock'))
  t.true(uptime !== null && uptime >= 0 && uptime < 600_000, `${uptime}`)
  t.is(workers.length, 1)
  t.like(workers[0], { pid, ready: true })
  t.true((workers[0]?.rss ?? 0) > 10_000_000)
  t.true((workers[0]?.cpuTime ?? 0) > 0)
})

test('status tells of a start, of one that has ended, and of nothing', async t => {
  const scene = new Scene(t)
  const rest = {
    name: 'd',
    instance: null,
    version: null,
    uptime: null,
    statusText: null,
    addresses: {},
    logs: [],
    stopTimeout: STOP_TIMEOUT,
    workers: [],
    wantedWorkers: null,
    restarts: 0,
    failure: null,
  }
  t.deepEqual(await status(scene.path('d.pid')), { ...NOWHERE, ...rest, state: 'stopped' })
  const launcher = scene.node(program('isNeverReady'))
  const pid = await scene.until(
    'the daemon boots',
    () => scene.exists('booting') && PidLock.inspect(scene.path('d.pid')).pid,
  )
  const report = await status(scene.path('d.pid'))
  t.like(report, { state: 'starting', pid, verified: true, name: 'd' })
  t.like(report.workers[0], { pid, ready: false })
  process.kill(pid, 'SIGKILL')
  await launcher
  await killed(await owner(scene))
  const before = statSync(scene.path('d.pid'))
  t.like(await status(scene.path('d.pid')), { state: 'dead', verified: false, ...rest })
  t.deepEqual(statSync(scene.path('d.pid')), before)
})

test('a process that only took the lock can be asked and stopped as a daemon can', async t => {
  const scene = new Scene(t)
  const { pid = 0 } = await owner(scene)
  t.like(await status(scene.path('d.pid')), { state: 'running', pid, name: 'd', statusText: null })
  t.like(await stop(scene.path('d.pid')), { pid, wasRunning: true, forced: false })
  t.deepEqual(scene.files(), [])
})

test('a process that ends does not wait for a stop of its own, nor does a worker thread', async t => {
  const scene = new Scene(t)
  const pid = await startProgram(scene, program('takesItsTime', null))
  const { code, signal, stderr } = await scene.node(program('stopsAndExits', scene.path('d.pid')))
  t.deepEqual({ code, signal, stderr }, { code: 5, signal: null, stderr: '' })
  t.is(processInfo(pid).pid, pid)
})

/** The line of /proc/locks for one who waits on the pid file's third byte. */
function blocked(scene: Scene): string {
  return `:${statSync(scene.path('d.pid')).ino} 2 2`
}
