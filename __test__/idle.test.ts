// idleTimeout: a daemon that nobody wants ends by itself, and nobody who wants it goes without.
import { once } from 'node:events'
import { Agent, get, type IncomingMessage } from 'node:http'
import test from 'ava'
import { connect, PidLock, status } from 'daemonic'
import { callers, inScene, launched, launchOf, launchOnce } from './support/launching.js'
import { sockets } from './support/listening.js'
import { finished, Scene } from './support/scene.js'

/** Long enough for a client to connect on a busy machine. Milliseconds. */
const IDLE = 1_500
const MAIN = { listen: { main: { path: true } }, idleTimeout: IDLE } as const
const CLIENTS = 4
const QUESTIONS = 25

async function hasEnded(scene: Scene): Promise<void> {
  await scene.until('it has ended', () => PidLock.inspect(scene.path('d.pid')).state === 'absent')
  await scene.empty()
}

function isRunning(scene: Scene): boolean {
  return PidLock.inspect(scene.path('d.pid')).state === 'running'
}

/** Longer than the daemon would live without what is tried. */
function longer(): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, 3 * IDLE))
}

test('an idle daemon stops as if asked to, and leaves nothing', async t => {
  const scene = new Scene(t)
  const { error } = await launchOnce(scene, launched('servesLines'), { ...MAIN, log: './d.log' })
  t.is(error, undefined)
  await hasEnded(scene)
  t.is(scene.read('stopped'), 'null\n')
  t.deepEqual(scene.files(), ['d.log', 'stopped'])
  t.regex(scene.read('d.log'), new RegExp(`info: idle for ${IDLE} ms\n\\S+ d\\[\\d+\\] info: stopping\n$`))
})

test('a daemonize() option too, in the foreground, with exit code 0', async t => {
  const scene = new Scene(t)
  const idle = sockets('greets', { detach: false, log: 'ignore', idleTimeout: 100, listen: { it: './d.sock' } })
  const { code, stderr } = await scene.node(idle, inScene(scene))
  t.is(code, 0, stderr)
})

test('an open connection holds it, and its end lets go', async t => {
  const scene = new Scene(t)
  await launchOnce(scene, launched('servesLines'), MAIN)
  const socket = await connect(scene.path('d.pid'), 'main')
  await longer()
  t.true(isRunning(scene))
  socket.destroy()
  await hasEnded(scene)
  t.pass()
})

test('busy() holds it until it is disposed', async t => {
  const scene = new Scene(t)
  const { pid = 0 } = await launchOnce(scene, launched('holdsItselfBusy'), MAIN)
  await longer()
  t.true(isRunning(scene))
  process.kill(pid, 'SIGUSR2')
  await hasEnded(scene)
})

async function ask(scene: Scene, path: string, agent: Agent): Promise<string> {
  const socketPath = scene.path('d.main.sock')
  const [response] = (await once(get({ socketPath, path, agent }), 'response')) as [IncomingMessage]
  let text = ''
  for await (const piece of response) text += piece
  return text
}

test('a request holds it until it is answered; a connection that is merely kept alive does not', async t => {
  const scene = new Scene(t)
  await launchOnce(scene, launched('servesRequests', 3 * IDLE, 'ends'), MAIN)
  const agent = new Agent({ keepAlive: true, keepAliveMsecs: 60_000 })
  t.teardown(() => agent.destroy())
  t.is(await ask(scene, '/slow', agent), 'slow')
  t.is((await status(scene.path('d.pid'))).state, 'running')
  t.is(await ask(scene, '/', agent), 'quick')
  await hasEnded(scene)
})

test('an upgraded connection holds it', async t => {
  const scene = new Scene(t)
  await launchOnce(scene, launched('servesRequests', 3 * IDLE, 'stays'), MAIN)
  const request = get({ socketPath: scene.path('d.main.sock'), headers: { connection: 'upgrade', upgrade: 'x' } })
  const [, socket] = await once(request, 'upgrade')
  await longer()
  t.true(isRunning(scene))
  socket.destroy()
  await hasEnded(scene)
})

test('every client gets an answer, however often the daemon ends just then', async t => {
  const scene = new Scene(t)
  const options = { ifRunning: 'reuse', listen: { main: { path: true } }, idleTimeout: 3 } as const
  const launching = launchOf(launched('tellsItsStartAndServesLines'), options)
  const asking = callers('asksManyTimes', QUESTIONS, ...launching)
  const clients = Array.from({ length: CLIENTS }, () => finished(scene.spawnNode(asking, inScene(scene))))
  let again = 0
  for (const { code, stdout, stderr } of await Promise.all(clients)) {
    t.is(code, 0, stderr)
    again += Number(stdout)
  }
  const starts = scene.read('starts').trimEnd().split('\n').length
  t.log(`${starts} daemons for ${CLIENTS * QUESTIONS} questions, ${again} asked again`)
  t.true(starts > 1)
  await hasEnded(scene)
  t.false(scene.exists('d.main.sock'))
})
