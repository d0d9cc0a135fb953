// idleTimeout: a daemon that nobody wants ends by itself, and nobody who wants it goes without.
import { once } from 'node:events'
import { Agent, get, type IncomingMessage } from 'node:http'
import test from 'ava'
import { connect, PidLock, status } from 'daemonic'
import { inScene, knowing, launchOnce } from './support/launching.js'
import { program } from './support/program.js'
import { finished, Scene } from './support/scene.js'

const IDLE = 300
const MAIN = { listen: { main: { path: true } }, idleTimeout: IDLE } as const
const SERVE_LINES = `import { createServer } from 'node:net'
await daemonize().serve(createServer(socket => socket.on('data', data => socket.end(process.pid + ' ' + data))), 'main')
`

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
  const path = knowing(scene, `${SERVE_LINES} daemonize().onStop(signal => tell('stopped', String(signal)))`)
  const { error } = await launchOnce(scene, path, { ...MAIN, log: './d.log' })
  t.is(error, undefined)
  await hasEnded(scene)
  t.is(scene.read('stopped'), 'null\n')
  t.deepEqual(scene.files(), ['caller.mjs', 'd.log', 'd.mjs', 'stopped'])
  t.regex(scene.read('d.log'), /info: idle for 300 ms\n\S+ d\[\d+\] info: stopping\n$/)
})

test('a daemonize() option too, in the foreground, with exit code 0', async t => {
  const scene = new Scene(t)
  const text = `const daemon = daemonize({ detach: false, idleTimeout: 100, listen: { main: './d.sock' } })
    await daemon.serve((await import('node:net')).createServer(), 'main')`
  const { code, stderr } = await scene.node(program(scene, text), inScene(scene))
  t.is(code, 0, stderr)
})

test('an open connection holds it, and its end lets go', async t => {
  const scene = new Scene(t)
  await launchOnce(scene, knowing(scene, SERVE_LINES), MAIN)
  const socket = await connect(scene.path('d.pid'), 'main')
  await longer()
  t.true(isRunning(scene))
  socket.destroy()
  await hasEnded(scene)
  t.pass()
})

test('busy() holds it until it is disposed', async t => {
  const scene = new Scene(t)
  const path = knowing(
    scene,
    `${SERVE_LINES}
     const holds = [daemonize().busy(), daemonize().busy()]
     holds[0][Symbol.dispose](); holds[0][Symbol.dispose]()
     process.on('SIGUSR2', () => holds[1][Symbol.dispose]())`,
  )
  const { pid = 0 } = await launchOnce(scene, path, MAIN)
  await longer()
  t.true(isRunning(scene))
  process.kill(pid, 'SIGUSR2')
  await hasEnded(scene)
})

const SERVE_HTTP = `import { createServer } from 'node:http'
const server = createServer((request, response) => {
  if (request.url === '/slow') setTimeout(() => response.end('slow'), ${3 * IDLE})
  else response.end('quick')
})
server.on('upgrade', (request, socket) => socket.end('HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: x\\r\\nConnection: upgrade\\r\\n\\r\\n', () => {}))
await daemonize().serve(server, 'main')
`

async function ask(scene: Scene, path: string, agent: Agent): Promise<string> {
  const socketPath = scene.path('d.main.sock')
  const [response] = (await once(get({ socketPath, path, agent }), 'response')) as [IncomingMessage]
  let text = ''
  for await (const piece of response) text += piece
  return text
}

test('a request holds it until it is answered; a connection that is merely kept alive does not', async t => {
  const scene = new Scene(t)
  await launchOnce(scene, knowing(scene, SERVE_HTTP), MAIN)
  const agent = new Agent({ keepAlive: true, keepAliveMsecs: 60_000 })
  t.teardown(() => agent.destroy())
  t.is(await ask(scene, '/slow', agent), 'slow')
  t.is((await status(scene.path('d.pid'))).state, 'running')
  t.is(await ask(scene, '/', agent), 'quick')
  await hasEnded(scene)
})

test('an upgraded connection holds it', async t => {
  const scene = new Scene(t)
  const path = knowing(scene, SERVE_HTTP.replace('socket.end(', 'socket.resume().on("end", () => socket.end()).write('))
  await launchOnce(scene, path, MAIN)
  const request = get({ socketPath: scene.path('d.main.sock'), headers: { connection: 'upgrade', upgrade: 'x' } })
  const [, socket] = await once(request, 'upgrade')
  await longer()
  t.true(isRunning(scene))
  socket.destroy()
  await hasEnded(scene)
})

test('every client gets an answer, however often the daemon ends just then', async t => {
  const scene = new Scene(t)
  const path = knowing(scene, `tell('starts', process.pid); ${SERVE_LINES}`)
  const client = program(
    scene,
    `const { launch, connect } = daemonic
     const options = { ifRunning: 'reuse', listen: { main: { path: true } }, idleTimeout: 3 }
     const ask = async question => {
       const { pidFile } = await launch('${path}', options)
       const socket = await connect(pidFile, 'main')
       socket.write(question)
       let answer = ''
       for await (const piece of socket) answer += piece
       if (!answer.endsWith(question)) throw Object.assign(new Error('no answer'), { code: 'ECONNRESET' })
     }
     const GONE = ['ERR_DAEMON_NOT_RUNNING', 'ECONNRESET', 'EPIPE']
     let again = 0
     for (let question = 0; question < ${QUESTIONS}; question++) {
       for (;;) {
         try {
           await ask(String(question))
           break
         } catch (error) {
           if (!GONE.includes(error.code)) throw error
           again++
         }
       }
       await new Promise(resolve => setTimeout(resolve, Math.random() * 40))
     }
     console.log(again)`,
    'client.mjs',
  )
  const clients = Array.from({ length: CLIENTS }, () =>
    finished(scene.spawn(process.execPath, [client], inScene(scene))),
  )
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
