// Whoever may only read a pid file can lock it for reading: that delays no start, and makes no process its owner.
import { chmodSync, statSync } from 'node:fs'
import test from 'ava'
import { PidLock, status, stop } from 'daemonic'
import type { Programs } from './fixtures/migration.js'
import { asRoot, foreignLock, NOBODY, owner, withPython } from './support/locks.js'
import { inForeground, startProgram } from './support/program.js'
import { programs, Scene } from './support/scene.js'

const daemons = programs<Programs>('migration')

const OWNED = { state: 'running', verified: true }
/** All bytes that daemonic locks. */
const BYTES = { start: 0, length: 5 }

for (const of of ['file', 'process'] as const) {
  for (const byte of [0, 1, 2, 3, 4]) {
    withPython(`a leftover whose byte ${byte} is locked for reading, by a lock of the ${of}, is taken`, async t => {
      const scene = new Scene(t)
      scene.write('d.pid', '99999\n')
      await foreignLock(scene, { type: 'read', of, start: byte, length: 1 })
      const child = await owner(scene)
      t.deepEqual(PidLock.inspect(scene.path('d.pid')), { ...OWNED, pid: child.pid ?? 0 })
      t.deepEqual(
        scene.files().filter(file => file.startsWith('d.pid')),
        ['d.pid'],
      )
    })
  }
}

asRoot('an unprivileged reader of a leftover delays neither a start nor a wait nor a stop', async t => {
  const scene = new Scene(t)
  chmodSync(scene.directory, 0o755)
  scene.write('d.pid', '99999\n')
  chmodSync(scene.path('d.pid'), 0o644)
  await foreignLock(scene, { type: 'read', of: 'file', ...BYTES }, 'd.pid', { uid: NOBODY, gid: NOBODY })
  const pid = await startProgram(scene, daemons('stays'))
  t.like(PidLock.inspect(scene.path('d.pid')), { ...OWNED, pid })
  t.like(await stop(scene.path('d.pid')), { pid, wasRunning: true, forced: false })

  scene.write('d.pid', '99999\n')
  await foreignLock(scene, { type: 'read', of: 'process', ...BYTES }, 'd.pid', { uid: NOBODY, gid: NOBODY })
  const lock = await PidLock.wait(scene.path('d.pid'))
  t.true(lock.isIntact())
  lock.release()
})

withPython('where anyone can put files, a wait goes on when the reader goes', async t => {
  const scene = new Scene(t)
  chmodSync(scene.directory, 0o777)
  scene.write('d.pid', '99999\n')
  const reader = await foreignLock(scene, { type: 'read', of: 'process', start: 1, length: 1 })
  const waiting = PidLock.wait(scene.path('d.pid'))
  const { ino } = statSync(scene.path('d.pid'))
  reader.kill('SIGKILL')
  const lock = await waiting
  t.is(statSync(scene.path('d.pid')).ino, ino)
  lock.release()
})

withPython('a wait finds the file that has taken the place of the one it waits for', async t => {
  const scene = new Scene(t)
  await owner(scene)
  const waiting = PidLock.wait(scene.path('d.pid'))
  scene.remove('d.pid')
  const lock = await waiting
  t.true(lock.isIntact())
  lock.release()
})

withPython('a reader of byte 0 is not the owner, and no call of the owner fails for it', async t => {
  const scene = new Scene(t)
  const pid = await startProgram(scene, daemons('losesByte0'))
  process.kill(pid, 'SIGUSR2')
  await scene.until('byte 0 is dropped', () => scene.exists('told'))
  const reader = await foreignLock(scene, { type: 'read', of: 'process', start: 0, length: 1 })
  const found = await status(scene.path('d.pid'))
  t.not(found.pid, reader.pid)
  t.like(found, { state: 'running', pid, verified: false })
  process.kill(pid, 'SIGALRM')
  await scene.until('the status is set', () => scene.read('told').includes('set'))
  t.like(await stop(scene.path('d.pid')), { pid, wasRunning: true, forced: false })
  t.is(reader.exitCode, null)
})

test('a daemon that exits closes its listening sockets before it gives up its pid file', async t => {
  const scene = new Scene(t)
  const { child, end } = await inForeground(scene, daemons('listensUntilGo'))
  await scene.until('it listens', () => scene.exists('ports'))
  child.kill('SIGUSR2')
  await scene.until('it has given up its pid file', () => scene.exists('gone'))
  t.is(scene.read('gone'), 'false\n')
  const [bound, own] = scene.read('ports').trim().split(' ')
  const rebound = await scene.node(daemons('binds', bound ?? '', own ?? ''))
  t.like(rebound, { code: 0, stderr: '' })
  scene.write('go', '')
  t.like(await end, { code: 0 })
})
