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
import { asRoot, killed, NOBODY, owner, STAY } from './support/locks.js'
import { launchProbe } from './support/probe.js'
import { LIBRARY, program, runProgram, startProgram } from './support/program.js'
import { finished, type RunOptions, Scene } from './support/scene.js'

const withPgrep = spawnSync('pgrep', ['--version']).status === 0 ? test : test.skip // of procps, alone with -L

/** More than Node lets listen for one event before it warns. */
const MANY = 20

/** What another process makes of the file. */
async function seenByAnother(scene: Scene, what = 'PidLock.inspect', file = 'd.pid', run: RunOptions = {}) {
  const text = `try { const result = daemonic.${what}(${JSON.stringify(scene.path(file))}); console.log(JSON.stringify(result)) }
catch ({ name, code, pid = null, message }) { console.log(JSON.stringify({ name, code, pid, message })) }`
  const { stdout, stderr } = await scene.node(program(scene, text, 'other.mjs'), run)
  if (!stdout) throw new Error(stderr)
  return JSON.parse(stdout)
}

test('the file says the pid and a newline, readable by all whatever the umask, or with the mode that was asked for', async t => {
  const scene = new Scene(t)
  for (const umask of [0o077, 0]) {
    const text = `process.umask(${umask}); daemonic.PidLock.acquire('./d.pid'); daemonic.PidLock.acquire('./own.pid', { mode: 0o660 })
for (const file of ['d.pid', 'own.pid']) tell('modes', (fs.statSync(file).mode & 0o7777).toString(8))
tell('text', fs.readFileSync('d.pid', 'utf8') + process.pid)`
    t.is((await runProgram(scene, text)).stderr, '')
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
  const { name, code, pid } = await seenByAnother(scene, 'PidLock.acquire')
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
  const text = `const daemon = daemonize({ name: 'd', pidFile: './d.pid', ready: 'manual', signals: { SIGUSR2: () => daemon.ready() } })
tell('own', daemonic.PidLock.inspect(here + '/d.pid').state); ${STAY}`
  const launcher = runProgram(scene, text)
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
  t.deepEqual(await seenByAnother(scene, 'PidLock.inspect', 'd.pid', nobody), { state: 'running', pid, verified: true })
  chmodSync(scene.path('d.pid'), 0o600)
  const { code, message } = await seenByAnother(scene, 'PidLock.inspect', 'd.pid', nobody)
  t.is(code, 'EACCES')
  t.regex(message, /d\.pid: EACCES, permission denied; it belongs to root/)
})

// Owners that ask the kernel, or make it forget, are processes of their own: other tests run in this one.
test('an owner that reads its own pid file still excludes, though the kernel no longer names it', async t => {
  const scene = new Scene(t)
  const { pid = 0 } = await owner(
    scene,
    `process.once('SIGUSR2', () => tell('text', fs.readFileSync('d.pid', 'utf8')))`,
  )
  process.kill(pid, 'SIGUSR2')
  await scene.until('it has read the file', () => scene.exists('text') && scene.read('text') === `${pid}\n\n`)
  t.deepEqual(PidLock.inspect(scene.path('d.pid')), { state: 'running', pid, verified: false })
  const error = t.throws(() => PidLock.acquire(scene.path('d.pid')), { instanceOf: AlreadyRunningError })
  t.is(error?.pid, pid)
})

test('it is named again when it is ready, says its status, or reopens its logs', async t => {
  const scene = new Scene(t)
  const text = `const daemon = daemonize({ name: 'd', pidFile: './d.pid', ready: 'manual', signals: {
  SIGUSR2: () => tell('text', fs.readFileSync(here + '/d.pid', 'utf8').trim()), SIGPWR: () => daemon.setStatus('well') } })
fs.readFileSync(here + '/d.pid'); daemon.ready(); ${STAY}`
  const pid = await startProgram(scene, text)
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

const QUESTIONS: Record<string, string> = {
  inspect: `tell('answer', PidLock.inspect('d.pid').state)`,
  'inspect by another name': `tell('answer', PidLock.inspect('alias.pid').state)`,
  acquire: `try { PidLock.acquire('d.pid') } catch ({ code }) { tell('answer', code) }`,
  'acquire by another name': `try { PidLock.acquire('alias.pid') } catch ({ code }) { tell('answer', code) }`,
  'a wait that is too long': `await PidLock.wait('d.pid', { timeout: 20 }).catch(({ code }) => tell('answer', code))`,
  'a wait by another name': `await PidLock.wait('alias.pid', { timeout: 20 }).catch(({ code }) => tell('answer', code))`,
  status: `tell('answer', (await daemonic.status('./d.pid')).state)`,
}

for (const [what, question] of Object.entries(QUESTIONS)) {
  test(`the kernel still names an owner after its own ${what}`, async t => {
    const scene = new Scene(t)
    const { pid = 0 } = await owner(
      scene,
      `const { PidLock } = daemonic; process.once('SIGUSR2', async () => { ${question} }); tell('armed', 'x')`,
    )
    await scene.until('it listens to the signal', () => scene.exists('armed'))
    if (question.includes('alias')) linkSync(scene.path('d.pid'), scene.path('alias.pid'))
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

const ENDS: Record<string, { does: string; code: number | null }> = {
  'calls process.exit()': { does: 'process.exit(3)', code: 3 },
  'comes to its natural end': { does: '', code: 0 },
  'throws an error': { does: `throw new Error('no')`, code: 1 },
  'rejects a promise': { does: `Promise.reject(new Error('no'))`, code: 1 },
}

for (const [what, { does, code }] of Object.entries(ENDS)) {
  test(`an owner that ${what} leaves no file`, async t => {
    const scene = new Scene(t)
    const text = `daemonic.PidLock.acquire('./a.pid'); daemonic.PidLock.acquire('./b.pid'); ${does}`
    t.is((await runProgram(scene, text)).code, code)
    t.deepEqual(scene.files(), ['program.mjs'])
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
  for (const end of ['lock.release()', 'process.exit()', '']) {
    const text = `const lock = daemonic.PidLock.acquire('./run/d.pid'); tell('text', fs.readFileSync('/proc/self/fd/' + fs.openSync('./run/d.pid'), 'utf8').trim()); ${end}`
    const { code, stderr } = await runProgram(scene, text, { uid: NOBODY, gid: NOBODY })
    t.is(code, 0, stderr)
    t.regex(scene.read('text'), /^\d+\n$/)
    t.is(scene.read('run/d.pid'), '')
    t.deepEqual(PidLock.inspect(scene.path('run/d.pid')), { state: 'free', pid: null, verified: false })
    scene.remove('text')
  }
})

test('one process owns several files, each for itself, without a warning', async t => {
  const scene = new Scene(t)
  const text = `const locks = Array.from({ length: ${MANY} }, (_, n) => daemonic.PidLock.acquire('./' + n + '.pid'))
locks[0].release(); tell('done', 'x'); process.once('SIGUSR2', () => process.exit()); ${STAY}`
  const child = scene.spawn(process.execPath, [program(scene, text)])
  const end = finished(child)
  await scene.until('it has them', () => scene.exists('done'))
  t.false(scene.exists('0.pid'))
  for (let n = 1; n < MANY; n++) {
    t.deepEqual(PidLock.inspect(scene.path(`${n}.pid`)), { state: 'running', pid: child.pid ?? 0, verified: true })
  }
  child.kill('SIGUSR2')
  t.is((await end).stderr, '')
  t.deepEqual(scene.files(), ['done', 'program.mjs'])
})

test('a child of the owner has no part in the lock', async t => {
  const scene = new Scene(t)
  const child = await owner(
    scene,
    `const { spawn } = await import('node:child_process'); spawn('sleep', ['1000'], { stdio: 'inherit', detached: true }).on('spawn', () => tell('child', 'x'))`,
  )
  await scene.until('it has a child', () => scene.exists('child'))
  await killed(child)
  t.is(scene.processes().length, 1)
  t.is(PidLock.inspect(scene.path('d.pid')).state, 'free')
  PidLock.acquire(scene.path('d.pid')).release()
})

test('a lock that a worker thread took is released with it, whether it ends or is ended', async t => {
  const scene = new Scene(t)
  for (const how of ['end', 'terminate']) {
    const text = `import('${LIBRARY}').then(({ PidLock }) => {
  const { parentPort, workerData } = require('node:worker_threads')
  globalThis.lock = PidLock.acquire(workerData)
  parentPort.once('message', () => {})
  parentPort.postMessage('has it')
})`
    const worker = new Worker(text, { eval: true, workerData: scene.path('d.pid') })
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
