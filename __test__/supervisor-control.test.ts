// The control socket beside the pid file: whom it answers, and that nobody can hold the supervisor up.
import { once } from 'node:events'
import { statSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import test from 'ava'
import { reload, status } from 'daemonic'
import { asRoot, NOBODY } from './support/locks.js'
import { Scene } from './support/scene.js'
import { startSupervised, statusLine, supervised } from './support/supervised.js'

/** A connection; where the supervisor hasn't taken in those before it, it is tried again. */
async function client(t: { teardown(fn: () => void): void }, scene: Scene): Promise<Socket> {
  return scene.until('it is connected', async () => {
    const socket = connect(scene.path('d.sock'))
    t.teardown(() => socket.destroy())
    const connected = await once(socket, 'connect').then(
      () => true,
      () => false,
    )
    socket.on('error', () => {}) // a supervisor may close what is too much
    return connected && socket
  })
}

test('it tells of every worker: pid, index, readiness, uptime, memory, time, restarts, last end, status text', async t => {
  const scene = new Scene(t)
  const supervisor = await startSupervised(scene, supervised('saysItsStatus', { workers: 2 }))
  const [first = 0, second = 0] = await supervisor.pids(2)
  process.kill(first, 'SIGUSR2')
  await supervisor.pids(2, [first])
  const { workers, ...rest } = (await supervisor.ask({ do: 'status' })) as Record<string, unknown>
  t.like(rest, { ok: true, name: 'd', pid: supervisor.pid, phase: 'running' })
  const byIndex = (workers as { worker: number }[]).toSorted((a, b) => a.worker - b.worker)
  t.like(byIndex[0], {
    ready: true,
    retiring: false,
    restarts: 1,
    lastExit: 'ended with 4: out of disk',
    statusText: 'serving 0',
  })
  t.like(byIndex[1], { pid: second, worker: 1, restarts: 0, lastExit: null, statusText: 'serving 1' })
  // The library's own view, and the kernel's.
  const report = await status(scene.path('d.pid'))
  t.is(report.statusText, 'serving 1', 'of the one that has been there for longest')
  const worker = report.workers.find(({ pid }) => pid === second)
  const resident = Number.parseInt(statusLine(second, 'VmRSS'), 10) * 1024
  t.true(Math.abs((worker?.rss ?? 0) - resident) < resident / 2)
  t.true((worker?.cpuTime ?? 0) > 0)
  t.true((worker?.uptime ?? 0) > 0 && (worker?.uptime ?? 0) < 60_000)
})

test('it is its user’s alone: mode 0600', async t => {
  const scene = new Scene(t)
  await startSupervised(scene, { monitor: true, umask: 0 })
  t.is(statSync(scene.path('d.sock')).mode & 0o777, 0o600)
})

asRoot('another user is refused, whatever the mode of the file', async t => {
  const scene = new Scene(t)
  const supervisor = await startSupervised(scene, { monitor: true })
  const worker = await supervisor.worker()
  await scene.run('chmod', ['0777', scene.directory, scene.path('d.sock')])
  const { stdout } = await scene.node(supervised('asksTheSupervisorToStop'), { uid: NOBODY, gid: NOBODY })
  t.regex(stdout, /^(EPIPE\n|ECONNRESET\n)?closed\n$/)
  t.is(await supervisor.worker(), worker)
})

const NO_REQUESTS: Record<string, [request: string, error: RegExp]> = {
  'broken JSON': ['{"do":', /^no request: /],
  'an unknown request': ['{"do":"dance"}', /^no request: unknown variant `dance`/],
  'a request with more than it needs': ['{"do":"scale","to":"2","more":1}', /^no request: unknown field `more`/],
  'an empty line': ['', /^no request: /],
  'bytes that are no text': ['\u0000\u0001\u001f', /^no request: /],
}

for (const [what, [request, says]] of Object.entries(NO_REQUESTS)) {
  test(`${what} is answered with why not`, async t => {
    const scene = new Scene(t)
    const supervisor = await startSupervised(scene, { monitor: true })
    const { ok, error } = await supervisor.ask(request)
    t.false(ok)
    t.regex(error ?? '', says)
    t.true((await supervisor.ask({ do: 'status' })).ok)
  })
}

/** Bytes that a socket's buffer takes. */
const SENT_AT_ONCE = 100_000

for (const length of [20_000, 1_000_000]) {
  test(`a request of ${length} bytes is refused`, async t => {
    const scene = new Scene(t)
    const supervisor = await startSupervised(scene, { monitor: true })
    const socket = await client(t, scene)
    let answer = ''
    socket.on('data', data => (answer += data))
    socket.write('x'.repeat(length))
    await new Promise(resolve => socket.once('close', resolve)) // with an error, where it still wrote
    // Where it still wrote, Node may have given the connection up before it read the answer.
    const isCut = length > SENT_AT_ONCE && answer === ''
    t.true(isCut || answer === '{"ok":false,"error":"the request is too long"}\n', answer)
    t.true((await supervisor.ask({ do: 'status' })).ok)
  })
}

test('several requests in one write, and one in many, are answered in turn', async t => {
  const scene = new Scene(t)
  await startSupervised(scene, { monitor: true })
  const socket = await client(t, scene)
  const answer = text(socket)
  socket.write('{"do":"reopen-logs"}\n{"do":"dance"}\n{"do":')
  for (const byte of '"status"}\n') {
    socket.write(byte)
    await new Promise(resolve => setImmediate(resolve))
  }
  socket.end()
  const answers = (await answer).trim().split('\n')
  t.deepEqual(
    answers.map(line => JSON.parse(line).ok),
    [true, false, true],
  )
})

test('1,000 idle connections hold nothing up, and cost it few descriptors', async t => {
  const scene = new Scene(t)
  const supervisor = await startSupervised(scene, { workers: 1, limits: { nofile: 256 } })
  const worker = await supervisor.worker()
  const clients: Socket[] = []
  for (let n = 0; n < 1_000; n += 50) {
    clients.push(...(await Promise.all(Array.from({ length: 50 }, () => client(t, scene)))))
  }
  t.true((await supervisor.ask({ do: 'status' })).ok)
  process.kill(worker, 'SIGKILL')
  const successor = await supervisor.worker([worker])
  await reload(scene.path('d.pid'))
  t.not(await supervisor.worker([successor]), successor)
  t.is(clients.length, 1_000)
})

test('a client that asks and never reads holds nothing up', async t => {
  const scene = new Scene(t)
  const supervisor = await startSupervised(scene, { workers: 2 })
  const socket = await client(t, scene)
  socket.pause()
  // Answers of some megabytes, in all.
  for (let n = 0; n < 20_000; n += 1) socket.write('{"do":"status"}\n')
  t.true((await supervisor.ask({ do: 'status' })).ok)
  await scene.until('it is given up', () => socket.destroyed || socket.errored !== null || socket.writableLength === 0)
  const [first = 0] = await supervisor.pids(2)
  process.kill(first, 'SIGKILL')
  await supervisor.pids(2, [first])
  t.true(Number.parseInt(statusLine(supervisor.pid, 'VmRSS'), 10) < 20_000)
})

test('a client that goes before its answer harms nobody', async t => {
  const scene = new Scene(t)
  const supervisor = await startSupervised(scene, { workers: 1 })
  const worker = await supervisor.worker()
  const socket = await client(t, scene)
  socket.write('{"do":"reload"}\n{"do":"status"}\n')
  await supervisor.logged(/info: reloading\n/)
  socket.destroy()
  await supervisor.worker([worker])
  t.true((await supervisor.ask({ do: 'status' })).ok)
})

test('where the socket was removed the status is the kernel’s; the next signal brings it back', async t => {
  const scene = new Scene(t)
  const supervisor = await startSupervised(scene, { workers: 2 })
  const before = await supervisor.pids(2)
  scene.remove('d.sock')
  const { state, pid, workers } = await status(scene.path('d.pid'))
  t.deepEqual([state, pid], ['running', supervisor.pid])
  t.is(workers.length, 1, 'the supervisor, for all that is known')
  await reload(scene.path('d.pid')) // by SIGHUP, then
  await scene.until('it is there again', () => scene.exists('d.sock'))
  t.is((await supervisor.pids(2, before)).length, 2)
})

test('one that hangs keeps nobody from what the kernel tells', async t => {
  const scene = new Scene(t)
  const supervisor = await startSupervised(scene, { workers: 2 })
  supervisor.signal('SIGSTOP')
  const { state, pid, workers } = await status(scene.path('d.pid'))
  t.deepEqual([state, pid, workers.length], ['running', supervisor.pid, 1])
  supervisor.signal('SIGCONT')
  t.is((await supervisor.workers(2)).length, 2)
})

test('where another file took its place, that is left alone', async t => {
  const scene = new Scene(t)
  const supervisor = await startSupervised(scene, { workers: 1 })
  scene.remove('d.sock')
  scene.write('d.sock', 'mine')
  supervisor.signal('SIGUSR1')
  await supervisor.logged(/warning: no control socket at .*\/d\.sock\b/)
  t.is(scene.read('d.sock'), 'mine')
  t.like(await status(scene.path('d.pid')), { state: 'running', pid: supervisor.pid })
})
