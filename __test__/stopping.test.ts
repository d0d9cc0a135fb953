// How a daemon stops: the program's own listeners, draining within a limit, hooks that always run, exit codes.
import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { setImmediate as nextTick } from 'node:timers/promises'
import test from 'ava'
import { PidLock, stop } from 'daemonic'
import { cli, spawnCli } from './support/cli.js'
import { become, inline, plain } from './support/inline.js'
import { launchOnce } from './support/launching.js'
import { freePort } from './support/listening.js'
import { inForeground, startProgram } from './support/program.js'
import { finished, Scene } from './support/scene.js'
import { foregroundSupervised, isAlive } from './support/supervised.js'

const D = `import http from 'node:http'
import net from 'node:net'
const stay = () => setInterval(() => {}, 1_000_000)
`
/** It saves something that takes a while, and ends with a code of its own. */
const FLUSHES = `process.on('SIGTERM', async signal => {
  tell('events', 'asked ' + signal + ' ' + process.listenerCount('SIGTERM'))
  await new Promise(resolve => setTimeout(resolve, 150))
  tell('events', 'flushed')
  process.exit(7)
})
`

const events = (scene: Scene) => (scene.exists('events') ? scene.read('events').trimEnd().split('\n') : [])

function answer(port: number, path: string): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => get({ port, host: '127.0.0.1', path }, resolve).on('error', reject))
}

function portOf(scene: Scene): number {
  return Number(/:(\d+)$/.exec(JSON.parse(scene.read('d.json')).addresses.web)?.[1])
}

// ── A program that never called daemonize() ──────────────────────────────────────────────

test('a launched program’s own TERM listener runs to its end, alone', async t => {
  const scene = new Scene(t)
  const { pid = 0, error } = await launchOnce(scene, plain(scene, FLUSHES))
  t.is(error, undefined)
  process.kill(pid, 'SIGTERM')
  await scene.empty()
  t.deepEqual(events(scene), ['asked SIGTERM 1', 'flushed'])
  t.false(scene.exists('d.pid'))
})

test('so it does under `daemonic start`, at a stop and at a reload', async t => {
  const scene = new Scene(t)
  const [path = ''] = plain(scene, FLUSHES)
  const { code, stderr } = await cli(scene, ['start', path])
  t.is(code, 0, stderr)
  t.is((await cli(scene, ['reload', 'd'])).code, 0)
  await scene.until('the old one has ended', () => events(scene).length === 2)
  await cli(scene, ['stop', 'd'])
  await scene.empty()
  t.deepEqual(events(scene), ['asked SIGTERM 1', 'flushed', 'asked SIGTERM 1', 'flushed'])
})

test('and under `daemonic run`, where Ctrl-C to the whole group counts once', async t => {
  const scene = new Scene(t)
  const [path = ''] = plain(scene, `${FLUSHES.replaceAll('SIGTERM', 'SIGINT')} tell('events', 'up')`)
  const run = spawnCli(scene, ['run', '--pid-file', './d.pid', path])
  const end = finished(run)
  await scene.until('it runs', () => events(scene)[0] === 'up')
  await scene.until('it is ready', () => PidLock.inspect(scene.path('d.pid')).state === 'running')
  for (const pid of scene.processes()) process.kill(pid, 'SIGINT')
  t.is((await end).code, 7)
  t.deepEqual(events(scene), ['up', 'asked SIGINT 1', 'flushed'])
})

/** A web server as everybody writes it: it knows no daemons, and closes at TERM. */
const WEB = (port: number, atTerm: string) => `import http from 'node:http'
const server = http.createServer((request, response) => {
  tell('requests', request.url)
  setTimeout(() => response.end('answer to ' + request.url), request.url === '/slow' ? 400 : 0)
})
server.listen(${port}, '127.0.0.1')
process.on('SIGTERM', () => { ${atTerm} })
`

for (const [what, atTerm] of [
  ['closes its server', `server.close(error => { tell('events', String(error)); process.exit(3) })`],
  ['exits at once', `tell('events', 'undefined'); process.exit(3)`],
] as const) {
  test(`a listener that ${what} leaves no request on an inherited socket unanswered`, async t => {
    const scene = new Scene(t)
    const port = await freePort()
    const [path = ''] = plain(scene, WEB(port, atTerm))
    const { code, stderr } = await cli(scene, ['start', '--listen', `127.0.0.1:${port}`, path])
    t.is(code, 0, stderr)
    const slow = answer(port, '/slow')
    await scene.until('the slow request has come', () => scene.exists('requests'))
    const stopped = cli(scene, ['stop', 'd'])
    t.is(await text(await slow), 'answer to /slow')
    await stopped
    t.deepEqual(events(scene), ['undefined'])
  })
}

test('what a listener leaves running exits at the drain timeout, by process.exit()', async t => {
  const scene = new Scene(t)
  const [path = ''] = plain(
    scene,
    `process.on('SIGTERM', () => tell('events', 'asked')); process.on('exit', code => tell('events', 'exit ' + code))`,
  )
  const { pid = 0 } = await launchOnce(scene, [path], { stopTimeout: 1_000, log: './d.log' })
  process.kill(pid, 'SIGTERM')
  await scene.empty()
  t.deepEqual(events(scene), ['asked', 'exit 0'])
  t.regex(scene.read('d.log'), /still running 800 ms after SIGTERM: exiting\n$/)
})

// ── A program that called daemonize() ────────────────────────────────────────────────────

test('its own listener is awaited, before the hooks', async t => {
  const scene = new Scene(t)
  const text = `${D}const daemon = become()
process.on('SIGTERM', async () => { await sleep(100); tell('events', 'flushed') })
daemon.onStop(() => tell('events', 'hook')); stay()`
  const { child, end } = await inForeground(scene, inline(scene, text))
  child.kill('SIGTERM')
  t.is((await end).code, 0)
  t.deepEqual(events(scene), ['flushed', 'hook'])
})

test('one that ends the process itself decides how', async t => {
  const scene = new Scene(t)
  const { child, end } = await inForeground(
    scene,
    inline(scene, `${D}const daemon = become(); stay(); ${FLUSHES} daemon.onStop(() => sleep(10_000))`),
  )
  child.kill('SIGTERM')
  t.is((await end).code, 7)
  t.is(events(scene).at(-1), 'flushed')
})

test('one that returns no promise is not awaited, and is named', async t => {
  const scene = new Scene(t)
  const text = `${D}become(); stay(); process.on('SIGTERM', function save() { setTimeout(() => tell('events', 'late'), 5_000) })`
  const { child, end } = await inForeground(scene, inline(scene, text))
  child.kill('SIGTERM')
  const { code, stderr } = await end
  t.is(code, 0)
  t.regex(stderr, /info: not awaited: the SIGTERM listener save/)
  t.false(scene.exists('events'))
})

test('workers call it too, for the signal that their supervisor got', async t => {
  const scene = new Scene(t)
  const { supervisor, end } = await foregroundSupervised(
    scene,
    become(scene, { workers: 2 }, `process.on('SIGTERM', async () => { await sleep(100); tell('events', 'flushed') })`),
  )
  supervisor.signal('SIGTERM')
  t.is((await end).code, 0)
  t.deepEqual(events(scene), ['flushed', 'flushed'])
})

test('a function that `signals` maps TERM to is obeyed under a supervisor', async t => {
  const scene = new Scene(t)
  const path = inline(
    scene,
    `const daemon = become({ monitor: true, signals: { SIGTERM: async signal => {
  tell('events', 'mapped ' + signal); await sleep(50); await daemon.stop(5)
} } }); daemon.onStop(signal => tell('events', 'hook ' + signal)); setInterval(() => {}, 1_000_000)`,
  )
  const child = scene.spawnNode(path, { detach: 'false' })
  const end = finished(child)
  await scene.until('it is ready', () => PidLock.inspect(scene.path('d.pid')).state === 'running')
  child.kill('SIGTERM')
  t.is((await end).code, 5)
  t.deepEqual(events(scene), ['mapped SIGTERM', 'hook null'])
})

// ── Draining has a limit ─────────────────────────────────────────────────────────────────

const STALLS = `${D}const daemon = become({ listen: { web: '127.0.0.1:0' }, stopTimeout: 20_000, drainTimeout: 500 })
const server = http.createServer((request, response) => response.write('never ends'))
server.on('upgrade', (request, socket) => {
  socket.write('HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: x\\r\\nConnection: upgrade\\r\\n\\r\\n')
  tell('requests', 'upgrade')
})
daemon.onStop(async () => { await sleep(50); tell('events', 'flushed') })
await daemon.serve(server, 'web')
`
const REQUESTS = {
  'half a header': 'GET / HTTP/1.1\r\nHost: a\r\n',
  'half a body': 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf',
  'a stream': 'GET / HTTP/1.1\r\nHost: a\r\n\r\n',
  'an upgraded connection': 'GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n',
}

for (const [what, request] of Object.entries(REQUESTS)) {
  test(`${what} keeps no stop hook from running`, async t => {
    const scene = new Scene(t)
    const pid = await startProgram(scene, inline(scene, STALLS))
    const socket = connect(portOf(scene), '127.0.0.1').on('error', () => {})
    t.teardown(() => socket.destroy())
    await once(socket, 'connect')
    socket.write(request)
    // Answered or not, it has come once a later one on another connection is answered.
    const probe = await answer(portOf(scene), '/probe')
    probe.on('error', () => {})
    await once(probe, 'data')
    process.kill(pid, 'SIGTERM')
    await scene.empty()
    t.deepEqual(events(scene), ['flushed'])
    t.regex(scene.read('d.log'), /warning: 2 connections were still open after 500 ms of draining: closed\n/)
  })
}

test('onDrain hooks run beside the draining, to end what would never end', async t => {
  const scene = new Scene(t)
  const source = `${STALLS.replace('drainTimeout: 500', 'drainTimeout: 15_000')}
const sockets = new Set()
server.on('upgrade', (request, socket) => sockets.add(socket))
daemon.onDrain(signal => { tell('events', 'draining ' + signal); for (const socket of sockets) socket.end('bye') })
daemon.onDrain(() => tell('events', 'unsubscribed'))()
daemon.onStop(() => tell('events', 'unsubscribed'))()`
  const pid = await startProgram(scene, inline(scene, source))
  const client = get({ port: portOf(scene), host: '127.0.0.1', headers: { connection: 'upgrade', upgrade: 'x' } })
  const [, socket] = await once(client, 'upgrade')
  process.kill(pid, 'SIGTERM')
  t.is(await text(socket), 'bye')
  await scene.empty()
  t.deepEqual(events(scene), ['draining SIGTERM', 'flushed'])
})

test('a hook that awaits stop() doesn’t wait for itself', async t => {
  const scene = new Scene(t)
  const text = `${D}const daemon = become(); stay()
daemon.onStop(() => tell('events', 'first'))
daemon.onStop(async () => { await sleep(1); await daemon.stop(4) })
daemon.onDrain(async () => { await daemon.stop() })`
  const { child, end } = await inForeground(scene, inline(scene, text))
  child.kill('SIGTERM')
  const { code, stderr } = await end
  t.is(code, 4, stderr)
  t.deepEqual(events(scene), ['first'])
  t.notRegex(stderr, /still/)
})

// ── Lines and codes ──────────────────────────────────────────────────────────────────────

test('a reader of the log that went away stops nothing', async t => {
  const scene = new Scene(t)
  const { child, end } = await inForeground(
    scene,
    inline(
      scene,
      `${D}const daemon = become({ log: 'inherit' }); stay()
daemon.onStop(() => tell('events', 'hook'))`,
    ),
  )
  child.stdout?.destroy()
  child.stderr?.destroy()
  child.kill('SIGTERM')
  t.is((await end).code, 0)
  t.deepEqual(events(scene), ['hook'])
})

test('process.exitCode is kept, unless stop() is given one', async t => {
  const scene = new Scene(t)
  const before = `${D}process.exitCode = 6; const daemon = become({ detach: false })`
  t.is((await scene.node(inline(scene, `${before}; await daemon.stop()`), { detach: 'false' })).code, 6)
  t.is((await scene.node(inline(scene, `${before}; await daemon.stop(0)`), { detach: 'false' })).code, 0)
})

test('close() ends the daemon and not the process, which may become one again', async t => {
  const scene = new Scene(t)
  const text = `${D}
const count = () => ['SIGTERM', 'SIGINT', 'SIGUSR2', 'exit', 'unhandledRejection'].map(name => process.listenerCount(name)).join(' ')
const before = count()
for (const round of [1, 2]) {
  const daemon = become({ detach: false, listen: { web: '127.0.0.1:0' }, signals: { SIGUSR2: () => {} } })
  const server = http.createServer((request, response) => response.end('hello'))
  daemon.onStop(signal => tell('events', 'hook ' + signal))
  await daemon.serve(server, 'web')
  const response = await fetch('http://' + daemon.sockets.web.address)
  tell('events', await response.text())
  await daemon.close()
  tell('events', [fs.existsSync('d.pid'), fs.existsSync('d.json'), server.listening].join(' '))
  tell('events', count() === before ? 'as before' : count())
}
process.exitCode = 2`
  const { code, stderr } = await scene.node(inline(scene, text), { detach: 'false' })
  t.is(code, 2, stderr)
  const round = ['hello', 'hook null', 'false false false', 'as before']
  t.deepEqual(events(scene), [...round, ...round])
})

test('a disposed daemon is closed, and hears of a hook that failed', async t => {
  const scene = new Scene(t)
  const text = `${D}
const daemon = become({ detach: false })
daemon.onStop(() => { throw new Error('full disk') })
await daemon[Symbol.asyncDispose]().catch(error => tell('events', error.message + ': ' + error.errors[0].message))`
  const { code } = await scene.node(inline(scene, text), { detach: 'false' })
  t.is(code, 0)
  t.deepEqual(events(scene), ['1 stop hook failed: full disk'])
})

// ── TERM at any moment ───────────────────────────────────────────────────────────────────

for (const signal of ['SIGTERM', 'SIGINT', 'SIGQUIT'] as const) {
  test(`${signal} as soon as there is a pid file ends \`daemonic run\`, and leaves nothing`, async t => {
    const scene = new Scene(t)
    const [path = ''] = plain(scene, '')
    for (let round = 0; round < 5; round++) {
      const run = spawnCli(scene, ['run', '--pid-file', './d.pid', path])
      const end = finished(run)
      await scene.until('there is a pid file', () => scene.exists('d.pid'))
      run.kill(signal)
      await end
      await scene.empty()
      t.deepEqual(
        scene.files().filter(file => /^d\.(pid|json|sock)$/.test(file)),
        [],
      )
    }
  })
}

test('TERM as soon as there is a pid file ends a daemon in the foreground, and leaves nothing', async t => {
  const scene = new Scene(t)
  const waits = inline(scene, 'become(); setInterval(() => {}, 1_000_000)')
  for (let round = 0; round < 10; round++) {
    const child = scene.spawnNode(waits, { detach: 'false' })
    const end = finished(child)
    while (!scene.exists('d.pid')) await nextTick()
    child.kill('SIGTERM')
    t.is((await end).code, 0)
    t.deepEqual(
      scene.files().filter(file => /^d\.(pid|json)$/.test(file)),
      [],
    )
  }
})

test('stop() of a program with a listener of its own waits for it', async t => {
  const scene = new Scene(t)
  const { pid = 0 } = await launchOnce(scene, plain(scene, FLUSHES))
  t.like(await stop(scene.path('d.pid')), { pid, wasRunning: true, forced: false })
  t.false(isAlive(pid))
  t.is(events(scene).at(-1), 'flushed')
})
