// Waiting for a pid file: a thread in fcntl(2) that wakes when the file is free, and never later takes what nobody wants.
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import test, { type ExecutionContext } from 'ava'
import { AlreadyRunningError, OptionError, PidLock } from 'daemonic'
import { freePort } from './support/listening.js'
import { areWaiting, killed, locks, owner, owns } from './support/locks.js'
import { finished, Scene } from './support/scene.js'

const WAITERS = 16
/** How often a wait is aborted, at moments up to so many milliseconds after its start. */
const ABORTS = 100
const WITHIN = 4
/** How often a port changes hands. */
const HANDOVERS = 20
/** Milliseconds in which a waiter wakes, on a machine that is busy. */
const SOON = 5_000

// In turn: what takes how long is measured.
test.serial('a wait for a file that is free, or isn’t there, is over at once', async t => {
  const scene = new Scene(t)
  for (const text of [null, '1\n']) {
    if (text !== null) scene.write('d.pid', text)
    using lock = await PidLock.wait(scene.path('d.pid'), {
      mode: 0o600,
      timeout: SOON,
      signal: AbortSignal.timeout(SOON),
    })
    t.true(lock.held)
    t.true(lock.isIntact())
    t.is(PidLock.inspect(lock.path).state, 'running')
  }
  t.deepEqual(scene.files(), [])
})

for (const [what, end] of Object.entries({
  'is killed': (child: ChildProcess) => child.kill('SIGKILL'),
  'releases the file': (child: ChildProcess) => child.stdin?.write('drop'),
  'ends by itself': (child: ChildProcess) => child.kill('SIGTERM'),
})) {
  test.serial(`a waiter wakes when the owner ${what}, and no earlier`, async t => {
    const scene = new Scene(t)
    const child = await owner(scene, locks('obeysItsInput'), { stdio: ['pipe', 'pipe', 'inherit'] })
    let over = false
    const waiting = PidLock.wait(scene.path('d.pid')).finally(() => (over = true))
    await areWaiting(scene, 1)
    await delay(100)
    t.false(over)
    const start = performance.now()
    end(child)
    using lock = await waiting
    const elapsed = performance.now() - start
    t.true(elapsed < SOON, `${elapsed} ms`)
    t.true(lock.isIntact())
    t.is(scene.read('d.pid'), `${process.pid}\n`)
  })
}

test.serial('a wait that is too long is refused, and names the owner', async t => {
  const scene = new Scene(t)
  const { pid = 0 } = await owner(scene)
  const start = performance.now()
  const error = await t.throwsAsync(PidLock.wait(scene.path('d.pid'), { timeout: 80 }), {
    instanceOf: AlreadyRunningError,
  })
  const elapsed = performance.now() - start
  t.is(error?.pid, pid)
  t.true(elapsed >= 79 && elapsed < 80 + SOON, `${elapsed} ms`)
  await areWaiting(scene, 0)
  await t.throwsAsync(PidLock.wait(scene.path('d.pid'), { timeout: -1 }), { instanceOf: OptionError })
})

test('a signal that has aborted before keeps the wait from beginning, and its reason is thrown', async t => {
  const scene = new Scene(t)
  const reason = new Error('no longer wanted')
  const error = await t.throwsAsync(PidLock.wait(scene.path('d.pid'), { signal: AbortSignal.abort(reason) }))
  t.is(error, reason)
  t.deepEqual(scene.files(), [])
})

test('a signal that aborts meanwhile ends the wait', async t => {
  const scene = new Scene(t)
  const child = await owner(scene)
  const controller = new AbortController()
  const waiting = PidLock.wait(scene.path('d.pid'), { signal: controller.signal })
  await areWaiting(scene, 1)
  controller.abort()
  const error = await t.throwsAsync(waiting, { any: true })
  t.is(error, controller.signal.reason)
  await areWaiting(scene, 0)
  await killed(child)
  t.is(PidLock.inspect(scene.path('d.pid')).state, 'free')
})

test('a wait that is aborted, whenever, has the lock or never takes it', async t => {
  const scene = new Scene(t)
  const child = await owner(scene, locks('obeysItsInput'), { stdio: ['pipe', 'pipe', 'inherit'] })
  const tell = async (word: string) => {
    const answered = once(child.stdout as NodeJS.ReadableStream, 'data')
    child.stdin?.write(word)
    t.is(String((await answered)[0]), word)
  }
  const counts = { won: 0, aborted: 0 }
  for (let round = 0; round < ABORTS; round++) {
    const controller = new AbortController()
    const waiting = PidLock.wait(scene.path('d.pid'), { signal: controller.signal }).then(
      lock => lock,
      error => (error.name === 'AbortError' ? null : Promise.reject(error)),
    )
    const dropped = delay(Math.random() * WITHIN).then(() => tell('drop'))
    const aborted = delay(Math.random() * WITHIN).then(() => controller.abort())
    const [lock] = await Promise.all([waiting, dropped, aborted])
    const { state } = PidLock.inspect(scene.path('d.pid'))
    counts[lock ? 'won' : 'aborted'] += 1
    t.true(lock ? state === 'running' : state === 'absent' || state === 'free', `round ${round}: ${state}`)
    lock?.release()
    await tell('take') // throws there, and ends it, if a ghost has the file
    t.is(PidLock.inspect(scene.path('d.pid')).pid, child.pid ?? 0)
  }
  t.log(counts)
  t.true(counts.aborted > 0)
})

test(`of ${WAITERS} waiters each has the file in its turn, alone`, async t => {
  const scene = new Scene(t)
  const lock = PidLock.acquire(scene.path('d.pid'))
  const children = Array.from({ length: WAITERS }, () => scene.spawnNode(locks('hasItsTurn')))
  const ends = children.map(child => finished(child))
  await areWaiting(scene, WAITERS)
  lock.release()
  const results = await Promise.all(ends)
  t.deepEqual(
    results.filter(({ stderr }) => stderr),
    [],
  )
  const lines = logged(scene)
  t.is(lines.length, 2 * WAITERS)
  for (let at = 0; at < lines.length; at += 2) t.is(lines[at]?.replace('start', 'end'), lines[at + 1])
  t.is(new Set(lines).size, lines.length)
})

for (const [what, signal] of [
  ['is killed', 'SIGKILL'],
  ['exits', 'SIGUSR2'],
] as const) {
  test(`the address of an owner that ${what} is free when its waiter has the file`, async t => {
    const scene = new Scene(t)
    const listening = locks('listensAsTheOwner', await freePort())
    let last = scene.spawnNode(listening)
    for (let round = 0; round < HANDOVERS; round++) {
      await listens(t, scene, last, round)
      const next = scene.spawnNode(listening)
      await areWaiting(scene, 1)
      last.kill(signal)
      last = next
    }
    await listens(t, scene, last, HANDOVERS)
  })

  test(`so it is where that one became the owner, and ${what}, while others were waiting already`, async t => {
    const scene = new Scene(t)
    const listening = locks('listensAsTheOwner', await freePort())
    const first = scene.spawnNode(listening)
    await listens(t, scene, first, 0)
    const children = [first, ...Array.from({ length: WAITERS }, () => scene.spawnNode(listening))]
    for (let round = 1; round <= WAITERS; round++) {
      await areWaiting(scene, WAITERS - round + 1)
      const pid = Number(logged(scene).at(-1))
      children.find(child => child.pid === pid)?.kill(signal)
      await scene.until('the next one has tried to listen', () => logged(scene).length > round)
      t.regex(logged(scene).at(-1) ?? '', /^\d+$/, `round ${round}`)
    }
  })
}

async function listens(t: ExecutionContext, scene: Scene, child: ChildProcess, round: number): Promise<void> {
  await owns(scene, child)
  await scene.until('it has tried to listen', () => logged(scene).length > round)
  t.is(logged(scene).at(-1), String(child.pid), `round ${round}`)
}

/** Whole lines of the log. */
function logged(scene: Scene): string[] {
  return scene.exists('log') ? scene.read('log').split('\n').slice(0, -1) : []
}

for (const [what, how, code] of [
  ['exits', { exits: 3 }, 3],
  ['throws an error that nobody catches', { throws: 'no' }, 1],
] as const) {
  test(`a process that ${what} does not wait for its wait`, async t => {
    const scene = new Scene(t)
    const first = await owner(scene)
    const child = scene.spawnNode(locks('endsOnUsr2WhileItWaits', how))
    const end = finished(child)
    await areWaiting(scene, 1)
    child.kill('SIGUSR2')
    t.like(await end, { code, signal: null })
    await killed(first)
    t.is(PidLock.inspect(scene.path('d.pid')).state, 'free')
  })
}

test('a wait keeps its process running', async t => {
  const scene = new Scene(t)
  const first = await owner(scene)
  const child = scene.spawnNode(locks('waits'))
  const end = finished(child)
  await areWaiting(scene, 1)
  await killed(first)
  t.like(await end, { code: 0, stderr: '' })
  t.is(scene.read('log'), `${scene.path('d.pid')}\n`)
})

test('a worker thread that is ended takes its waits with it, and leaves the others', async t => {
  const scene = new Scene(t)
  const first = await owner(scene)
  const child = scene.spawnNode(locks('waitsBesideAThread'))
  const end = finished(child)
  await areWaiting(scene, 4)
  child.kill('SIGUSR2')
  await scene.until('the worker has ended', () => scene.exists('log'))
  await areWaiting(scene, 1)
  await killed(first)
  t.like(await end, { code: 0, signal: null, stderr: '' })
  t.is(scene.read('log'), 'terminated\nmine\n')
  t.false(scene.exists('d.pid'))
})
