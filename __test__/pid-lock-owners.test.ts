// Locks whose owner is in doubt: texts that lie, orphans, readers, other PID namespaces. Nobody is signalled on a guess.
import { once } from 'node:events'
import { chmodSync } from 'node:fs'
import test, { type ExecutionContext } from 'ava'
import { type DaemonError, PidLock, signal, stop } from 'daemonic'
import { bystander, foreignLock, killed, locks, owner, withNamespaces, withPython } from './support/locks.js'
import { finished, Scene } from './support/scene.js'

test('a text that disagrees with the kernel keeps both from being signalled', async t => {
  const scene = new Scene(t)
  const victim = bystander(scene)
  const { pid = 0 } = await owner(scene, locks('lies', victim.pid))
  await scene.until('it has lied', () => scene.read('d.pid') === `${victim.pid}\n`)
  await isUnverified(t, scene, pid)
  const error = await t.throwsAsync<DaemonError>(terminate(scene))
  t.regex(error?.message ?? '', new RegExp(`text names another process than the kernel does \\(pid ${pid}\\); nothing`))
  process.kill(pid, 'SIGUSR2')
  await scene.until('the owner answers', () => scene.exists('alive'))
  t.true(await victim.lives())
  t.is(scene.read('d.pid'), `${victim.pid}\n`)
})

withPython('a lock whose owner the kernel does not know is nobody’s to signal, and its holder is named', async t => {
  const scene = new Scene(t)
  const victim = bystander(scene)
  scene.write('d.pid', `${victim.pid}\n`)
  const holder = await foreignLock(scene, { type: 'write', of: 'file', start: 1, length: 1 })
  await isUnverified(t, scene, holder.pid)
  t.deepEqual(PidLock.inspect(scene.path('d.pid')), { state: 'running', pid: victim.pid, verified: false })
  t.throws(() => PidLock.acquire(scene.path('d.pid')), { code: 'ERR_DAEMON_RUNNING' })
  t.true(await victim.lives())
})

withPython('so it is while the file says that a start is under way', async t => {
  const scene = new Scene(t)
  const victim = bystander(scene)
  scene.write('d.pid', `${victim.pid}\n`)
  const holder = await foreignLock(scene, { type: 'write', of: 'file', start: 1, length: 2 })
  t.deepEqual(PidLock.inspect(scene.path('d.pid')), { state: 'starting', pid: null, verified: false })
  await isUnverified(t, scene, holder.pid)
  t.true(await victim.lives())
})

withPython('a text that names the holder of such a lock is believed', async t => {
  const scene = new Scene(t)
  scene.write('d.pid', '')
  const holder = await foreignLock(scene, { type: 'write', of: 'file', start: 1, length: 1 })
  scene.write('d.pid', `${holder.pid}\n`)
  const ended = once(holder, 'exit')
  t.like(await stop(scene.path('d.pid')), { pid: holder.pid ?? 0, wasRunning: true, forced: false })
  t.deepEqual(await ended, [null, 'SIGTERM'])
})

for (const lock of [
  { type: 'read', of: 'file', start: 2, length: 1 },
  { type: 'write', of: 'file', start: 100, length: 1 },
] as const) {
  withPython(`one that names the holder of a ${lock.type} lock on byte ${lock.start} alone is not`, async t => {
    const scene = new Scene(t)
    scene.write('d.pid', '')
    const holder = await foreignLock(scene, { type: 'write', of: 'file', start: 1, length: 1 })
    const victim = await foreignLock(scene, lock)
    scene.write('d.pid', `${victim.pid}\n`)
    await isUnverified(t, scene)
    t.deepEqual([holder.signalCode, victim.signalCode], [null, null])
    t.like(await answering(victim), { code: null, signal: 'SIGUSR1' })
  })
}

for (const of of ['file', 'process'] as const) {
  withPython(`where anyone can put files, a reader’s lock, of the ${of}, blocks a start, which is told so`, async t => {
    const scene = new Scene(t)
    chmodSync(scene.directory, 0o777)
    scene.write('d.pid', '1\n')
    const reader = await foreignLock(scene, { type: 'read', of, start: 1, length: 1 })
    const error = t.throws(() => PidLock.acquire(scene.path('d.pid')), { code: 'ERR_DAEMON_BLOCKED' })
    const who = `(pid ${reader.pid})`
    t.is(error?.message, `${scene.path('d.pid')} is blocked by a reader ${who}: it holds a read lock on the pid file`)
    t.deepEqual(PidLock.inspect(scene.path('d.pid')), { state: 'free', pid: 1, verified: false })
    t.is(scene.read('d.pid'), '1\n')
    await killed(reader)
    PidLock.acquire(scene.path('d.pid')).release()
  })
}

withPython('so does one on the byte that says “starting”, where readers wait', async t => {
  const scene = new Scene(t)
  chmodSync(scene.directory, 0o777)
  scene.write('d.pid', '')
  await foreignLock(scene, { type: 'read', of: 'process', start: 2, length: 1 })
  t.throws(() => PidLock.acquire(scene.path('d.pid')), { code: 'ERR_DAEMON_BLOCKED' })
})

withNamespaces('an owner in another PID namespace is seen, not named, and refused with that reason', async t => {
  const scene = new Scene(t)
  const outside = await owner(scene)
  const argv = [process.execPath, ...locks('looksAndStops')]
  const inside = await scene.run('unshare', ['--pid', '--fork', '--mount-proc', ...argv])
  const { report, code, message } = JSON.parse(inside.stdout || inside.stderr)
  t.deepEqual(report, { state: 'running', pid: null, verified: false })
  t.is(code, 'ERR_DAEMON_UNVERIFIED')
  t.is(message, `${scene.path('d.pid')}: its owner lives in another PID namespace; nothing was signalled`)
  t.is(outside.signalCode, null)
  t.is(PidLock.inspect(scene.path('d.pid')).state, 'running')
})

withNamespaces('one in a namespace below has another number there, and is refused too', async t => {
  const scene = new Scene(t)
  const argv = [process.execPath, ...locks('tellsSignals')]
  scene.spawn('unshare', ['--pid', '--fork', '--mount-proc', ...argv])
  const pid = await scene.until('it owns the file', () => PidLock.inspect(scene.path('d.pid')).pid)
  await scene.until('it has said so', () => PidLock.inspect(scene.path('d.pid')).state === 'running')
  t.is(scene.read('d.pid'), '1\n')
  await isUnverified(t, scene, pid)
  t.true(scene.processes().includes(pid))
  t.false(scene.exists('signals'))
})

withNamespaces('the first process of a namespace is never signalled, though it owns the file', async t => {
  const scene = new Scene(t)
  const argv = [process.execPath, ...locks('letsItselfBeStopped')]
  const { stdout } = await scene.run('unshare', ['--pid', '--fork', '--mount-proc', ...argv])
  t.is(stdout.trim(), '1 ERR_DAEMON_UNVERIFIED')
  t.false(scene.exists('signals'))
})

/** stop() and signal() refuse, and say who has the file. */
async function isUnverified(t: ExecutionContext, scene: Scene, pid?: number): Promise<void> {
  const who = pid === undefined ? /; nothing was signalled$/ : new RegExp(`\\(pid ${pid}\\); nothing was signalled$`)
  for (const attempt of [() => stop(scene.path('d.pid'), { timeout: 100 }), () => terminate(scene)]) {
    const error = await t.throwsAsync<DaemonError>(attempt, { code: 'ERR_DAEMON_UNVERIFIED' })
    t.regex(error?.message ?? '', who)
  }
}

function terminate(scene: Scene): Promise<void> {
  return signal(scene.path('d.pid'), 'SIGTERM')
}

/** What ends a process that no other signal has been sent to. */
function answering(child: Parameters<typeof finished>[0]) {
  const end = finished(child)
  child.kill('SIGUSR1')
  return end
}
