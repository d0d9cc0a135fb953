// A pid file that is locked: what it holds, who may see and take it, and how it ends.
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  chownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { Worker } from 'node:worker_threads'
import test from 'ava'
import { AlreadyRunningError, OptionError, PidLock, SystemCallError } from 'daemonic'
import type { End } from './fixtures/programs.js'
import { asRoot, killed, locks, NOBODY, owner } from './support/locks.js'
import { launchProbe } from './support/probe.js'
import { startProgram } from './support/program.js'
import { finished, fixture, type RunOptions, Scene } from './support/scene.js'

const withPgrep = spawnSync('pgrep', ['--version']).status === 0 ? test : test.skip // of procps, alone with -L

/** More than Node lets listen for one event before it warns. */
const MANY = 20

/** What another process makes of the file. */
async function seenByAnother(scene: Scene, what: 'inspect' | 'acquire' = 'inspect', run: RunOptions = {}) {
  const { stdout, stderr } = await scene.node(locks('calls', what, scene.path('d.pid')), run)
  if (!stdout) throw new Error(stderr)
  return JSON.parse(stdout)
}

test('the file says the pid and a newline, readable by all whatever the umask, or with the mode that was asked for', async t => {
  const scene = new Scene(t)
  for (const umask of [0o077, 0]) {
    t.is((await scene.node(locks('tellsModes', umask))).stderr, '')
    t.is(scene.read('modes'), '644\n660\n')
    t.regex(scene.read('text'), /^(\d+)\n\1\n$/)
    for (const file of ['modes', 'text']) scene.remove(file)
  }
})

test('a second acquire is refused and names the owner, in its process and in another', async t => {
  const scene = new Scene(t)
  using lock = PidLock.acquire(scene.path('d.pid'))
  const error = t.throws(() => PidLock.acquire(scene.path('d.pid')), { instanceOf: AlreadyRunningError })
  t.is(error?.pid, process.pid)
  t.is(error?.message, `already running as pid ${process.pid} (${lock.path})`)
  const { name, code, pid } = await seenByAnother(scene, 'acquire')
  t.deepEqual({ name, code, pid }, { name: 'AlreadyRunningError', code: 'ERR_DAEMON_RUNNING', pid: process.pid })
  t.deepEqual(await seenByAnother(scene), { state: 'running', pid: process.pid, verified: true })
})

test('a file that is not there is absent', t => {
  const scene = new Scene(t)
  t.deepEqual(PidLock.inspect(scene.path('d.pid')), { state: 'absent', pid: null, verified: false })
  t.deepEqual(scene.files(), [])
})

test('a file that nobody locks is free, whatever pid it names', t => {
  const scene = new Scene(t)
  scene.write('d.pid', `${process.pid}\n`)
  t.deepEqual(PidLock.inspect(scene.path('d.pid')), { state: 'free', pid: process.pid, verified: false })
})

test('until it is ready a daemon is starting, to itself too', async t => {
  const scene = new Scene(t)
  const launcher = scene.node(locks('isReadyOnUsr2'))
  const own = await scene.until('it has looked', () => scene.exists('own') && scene.read('own'))
  const pid = Number(scene.read('d.pid'))
  t.deepEqual(PidLock.inspect(scene.path('d.pid')), { state: 'starting', pid, verified: true })
  process.kill(pid, 'SIGUSR2')
  t.is((await launcher).code, 0)
  t.deepEqual(PidLock.inspect(scene.path('d.pid')), { state: 'running', pid, verified: true })
  t.is(own, 'starting\n')
})

test('a start is seen while the program never becomes ready, and the next one is told of it', async t => {
  const scene = new Scene(t)
  const options = { name: 'd', pidFile: scene.path('d.pid'), ready: 'manual' } as const
  const launcher = launchProbe(scene, options)
  const pid = await scene.until('the daemon has its pid', () => PidLock.inspect(options.pidFile).pid)
  t.is(PidLock.inspect(options.pidFile).state, 'starting')
  const error = t.throws(() => PidLock.acquire(options.pidFile), { instanceOf: AlreadyRunningError })
  t.is(error?.pid, pid)
  process.kill(pid, 'SIGKILL')
  t.is((await launcher).code, 137)
})

test('inspect changes nothing', async t => {
  const scene = new Scene(t)
  scene.write('free.pid', 'some text')
  await owner(scene)
  for (const file of ['free.pid', 'd.pid']) {
    const facts = () => {
      const { ino, mode, uid, nlink, size, mtimeMs, ctimeMs } = statSync(scene.path(file))
      return { ino, mode, uid, nlink, size, mtimeMs, ctimeMs, text: scene.read(file) }
    }
    const before = facts()
    for (let round = 0; round < 10; round++) PidLock.inspect(scene.path(file))
    t.deepEqual(facts(), before)
  }
})

asRoot('inspect needs permission to read and no other, and says so where it has none', async t => {
  const scene = new Scene(t)
  chmodSync(scene.directory, 0o755)
  const { pid } = await owner(scene)
  const nobody = { uid: NOBODY, gid: NOBODY }
  t.deepEqual(await seenByAnother(scene, 'inspect', nobody), { state: 'running', pid, verified: true })
  chmodSync(scene.path('d.pid'), 0o600)
  const { code, message } = await seenByAnother(scene, 'inspect', nobody)
  t.is(code, 'EACCES')
  t.regex(message, /d\.pid: EACCES, permission denied; it belongs to root/)
})

// Owners that ask the kernel, or make it forget, are processes of their own: other tests run in this one.
test('an owner that reads its own pid file still excludes, though the kernel no longer names it', async t => {
  const scene = new Scene(t)
  const { pid = 0 } = await owner(scene, locks('readsItsFileOnUsr2'))
  await scene.until('it listens to the signal', () => scene.exists('armed'))
  process.kill(pid, 'SIGUSR2')
  await scene.until('it has read the file', () => scene.exists('text') && scene.read('text') === `${pid}\n\n`)
  t.deepEqual(PidLock.inspect(scene.path('d.pid')), { state: 'running', pid, verified: false })
  const error = t.throws(() => PidLock.acquire(scene.path('d.pid')), { instanceOf: AlreadyRunningError })
  t.is(error?.pid, pid)
})

test('it is named again when it is ready, says its status, or reopens its logs', async t => {
  const scene = new Scene(t)
  const pid = await startProgram(scene, locks('forgets'))
  const verified = () => {
    const report = PidLock.inspect(scene.path('d.pid'))
    t.like(report, { state: 'running', pid })
    return report.verified
  }
  t.true(verified())
  for (const signal of ['SIGPWR', 'SIGHUP'] as const) {
    process.kill(pid, 'SIGUSR2')
    await scene.until('it has read the file', () => scene.exists('text') && scene.read('text') === `${pid}\n`)
    t.false(verified())
    process.kill(pid, signal)
    await scene.until(`${signal} has done its work`, verified)
    scene.remove('text')
  }
})

for (const [what, question, file] of [
  ['inspect', 'inspect', 'd.pid'],
  ['inspect by another name', 'inspect', 'alias.pid'],
  ['acquire', 'acquire', 'd.pid'],
  ['acquire by another name', 'acquire', 'alias.pid'],
  ['a wait that is too long', 'a wait that is too long', 'd.pid'],
  ['a wait by another name', 'a wait that is too long', 'alias.pid'],
  ['status', 'status', 'd.pid'],
] as const) {
  test(`the kernel still names an owner after its own ${what}`, async t => {
    const scene = new Scene(t)
    const { pid = 0 } = await owner(scene, locks('asksItsFileOnUsr2', question, file))
    await scene.until('it listens to the signal', () => scene.exists('armed'))
    if (file === 'alias.pid') linkSync(scene.path('d.pid'), scene.path('alias.pid'))
    process.kill(pid, 'SIGUSR2')
    const answer = await scene.until('it has its answer', () => scene.exists('answer') && scene.read('answer'))
    t.regex(answer, /^(running|ERR_DAEMON_RUNNING)\n$/)
    t.deepEqual(PidLock.inspect(scene.path('d.pid')), { state: 'running', pid, verified: true })
  })
}

withPgrep('pgrep agrees on whether a file is locked', async t => {
  const scene = new Scene(t)
  const child = await owner(scene)
  const pgrep = () => scene.run('pgrep', ['-F', scene.path('d.pid'), '-L'])
  t.like(await pgrep(), { code: 0, stdout: `${child.pid}\n` })
  await killed(child)
  t.not((await pgrep()).code, 0)
})

test('release removes the file, once', t => {
  const scene = new Scene(t)
  const lock = PidLock.acquire(scene.path('d.pid'))
  t.like(lock, { held: true, path: scene.path('d.pid'), pid: process.pid })
  lock.release()
  t.false(lock.held)
  t.deepEqual(scene.files(), [])
  scene.write('d.pid', 'somebody’s')
  lock.release()
  lock[Symbol.dispose]()
  t.is(scene.read('d.pid'), 'somebody’s')
})

test('a lock is released at the end of its block', t => {
  const scene = new Scene(t)
  const error = t.throws(() => {
    using lock = PidLock.acquire(scene.path('d.pid'))
    throw new Error(String(lock.held))
  })
  t.is(error?.message, 'true')
  t.deepEqual(scene.files(), [])
})

const ENDS: Record<string, { how: End; code: number | null }> = {
  'calls process.exit()': { how: { exits: 3 }, code: 3 },
  'comes to its natural end': { how: {}, code: 0 },
  'throws an error': { how: { throws: 'no' }, code: 1 },
  'rejects a promise': { how: { rejects: 'no' }, code: 1 },
}

for (const [what, { how, code }] of Object.entries(ENDS)) {
  test(`an owner that ${what} leaves no file`, async t => {
    const scene = new Scene(t)
    t.is((await scene.node(locks('ownsTwoAndEnds', how))).code, code)
    t.deepEqual(scene.files(), [])
  })
}

test('isIntact tells whether the path still names our file, and release leaves another alone', t => {
  const scene = new Scene(t)
  const lock = PidLock.acquire(scene.path('d.pid'))
  t.true(lock.isIntact())
  renameSync(lock.path, scene.path('moved'))
  t.false(lock.isIntact())
  scene.write('d.pid', 'somebody’s')
  t.false(lock.isIntact())
  t.true(lock.held)
  lock.release()
  t.is(scene.read('d.pid'), 'somebody’s')
  t.false(lock.isIntact())
})

test('an owner that is killed leaves a free file, which the next one takes', async t => {
  const scene = new Scene(t)
  const child = await owner(scene)
  const { ino } = lstatSync(scene.path('d.pid'))
  await killed(child)
  t.deepEqual(PidLock.inspect(scene.path('d.pid')), { state: 'free', pid: child.pid ?? 0, verified: false })
  using lock = PidLock.acquire(scene.path('d.pid'))
  t.true(lock.isIntact())
  t.is(lstatSync(scene.path('d.pid')).ino, ino)
  t.like(await seenByAnother(scene), { state: 'running', pid: process.pid })
})

asRoot('where the file may not be removed, its release empties it, which names nobody', async t => {
  const scene = new Scene(t)
  scene.giveTo(NOBODY)
  mkdirSync(scene.path('run'))
  writeFileSync(scene.path('run/d.pid'), '')
  chownSync(scene.path('run/d.pid'), NOBODY, NOBODY)
  chmodSync(scene.path('run'), 0o555)
  for (const how of ['releases', 'exits', 'returns'] as const) {
    const { code, stderr } = await scene.node(locks('tellsItsTextAndEnds', how), { uid: NOBODY, gid: NOBODY })
    t.is(code, 0, stderr)
    t.regex(scene.read('text'), /^\d+\n$/)
    t.is(scene.read('run/d.pid'), '')
    t.deepEqual(PidLock.inspect(scene.path('run/d.pid')), { state: 'free', pid: null, verified: false })
    scene.remove('text')
  }
})

test('one process owns several files, each for itself, without a warning', async t => {
  const scene = new Scene(t)
  const child = scene.spawnNode(locks('ownsMany', MANY))
  const end = finished(child)
  await scene.until('it has them', () => scene.exists('done'))
  t.false(scene.exists('0.pid'))
  for (let n = 1; n < MANY; n++) {
    t.deepEqual(PidLock.inspect(scene.path(`${n}.pid`)), { state: 'running', pid: child.pid ?? 0, verified: true })
  }
  child.kill('SIGUSR2')
  t.is((await end).stderr, '')
  t.deepEqual(scene.files(), ['done'])
})

test('a child of the owner has no part in the lock', async t => {
  const scene = new Scene(t)
  const child = await owner(scene, locks('hasAChild'))
  await scene.until('it has a child', () => scene.exists('child'))
  await killed(child)
  t.is(scene.processes().length, 1)
  t.is(PidLock.inspect(scene.path('d.pid')).state, 'free')
  PidLock.acquire(scene.path('d.pid')).release()
})

test('a lock that a worker thread took is released with it, whether it ends or is ended', async t => {
  const scene = new Scene(t)
  for (const how of ['end', 'terminate']) {
    const worker = new Worker(fixture('modules/owns-in-a-thread'), { workerData: scene.path('d.pid') })
    await once(worker, 'message')
    t.like(await seenByAnother(scene), { state: 'running', pid: process.pid })
    const inode = statSync(scene.path('d.pid')).ino
    const ended = once(worker, 'exit')
    if (how === 'terminate') worker.terminate()
    else worker.postMessage('end')
    await ended
    await scene.until('the file is gone', () => !scene.exists('d.pid'))
    t.false(readFileSync('/proc/locks', 'utf8').includes(`:${inode} `), `a lock after ${how}`)
  }
})

test('what can’t be a mode, or a file, is refused', t => {
  const scene = new Scene(t)
  const mode = '0644' as unknown as number
  t.throws(() => PidLock.acquire(scene.path('d.pid'), { mode }), { instanceOf: OptionError, message: /write 0o644/ })
  t.throws(() => PidLock.acquire(scene.path('none/d.pid')), { instanceOf: SystemCallError, code: 'ENOENT' })
  t.throws(() => PidLock.inspect('a\0b'), { instanceOf: SystemCallError, code: 'EINVAL' })
  t.deepEqual(scene.files(), [])
})
