// Servers on sockets that the launcher bound: readiness, requests, and an end that loses none of them.
import { once } from 'node:events'
import { mkdirSync } from 'node:fs'
import { Agent, get, type IncomingMessage } from 'node:http'
import { connect, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import test from 'ava'
import { sockets } from './support/listening.js'
import { inForeground, isReadyAtGo, startProgram } from './support/program.js'
import { Scene } from './support/scene.js'

function port(scene: Scene): number {
  return Number(/:(\d+)$/.exec(JSON.parse(scene.read('d.json')).addresses.web)?.[1])
}

function request(t: { teardown(end: () => void): void }, scene: Scene, path: string): Promise<IncomingMessage> {
  const agent = new Agent({ keepAlive: true })
  t.teardown(() => agent.destroy())
  return new Promise((resolve, reject) =>
    get({ port: port(scene), host: '127.0.0.1', path, agent }, resolve).on('error', reject),
  )
}

async function open(t: { teardown(end: () => void): void }, scene: Scene): Promise<Socket> {
  const socket = connect(port(scene), '127.0.0.1').on('error', () => {})
  t.teardown(() => socket.destroy())
  await once(socket, 'connect')
  return socket
}

async function takesNoMore(t: { teardown(end: () => void): void }, scene: Scene): Promise<void> {
  await scene.until('it takes no more', () =>
    open(t, scene).then(
      () => false,
      error => error.code === 'ECONNREFUSED',
    ),
  )
}

test('a server answers on the socket that the launcher bound, as soon as that has ended', async t => {
  const scene = new Scene(t)
  await startProgram(scene, sockets('answers'))
  t.is(await text(await request(t, scene, '/hello')), 'answer to /hello')
})

test('what is in flight at a stop is answered, on a connection that closes; idle ones don’t delay it', async t => {
  const scene = new Scene(t)
  const pid = await startProgram(scene, sockets('answers'))
  const answered = await request(t, scene, '/idle')
  const idle = answered.socket // kept alive by its agent
  await text(answered)
  const silent = await open(t, scene) // a browser's spare connection: it never asks anything
  const slow = request(t, scene, '/slow')
  await scene.until('the slow request has come', () => scene.exists('requests') && /slow/.test(scene.read('requests')))

  process.kill(pid, 'SIGTERM')
  await takesNoMore(t, scene)
  if (!silent.closed) await once(silent, 'close')
  if (!idle.closed) await once(idle, 'close')
  t.deepEqual(scene.processes(), [pid])

  scene.write('go', '')
  const answer = await slow
  t.is(await text(answer), 'answer to /slow')
  t.is(answer.headers.connection, 'close')
  await scene.empty()
  t.notRegex(scene.read('d.log'), /still stopping/)
  t.false(scene.exists('d.pid'))
})

for (const how of ['listen({ fd })', 'listen(port)'] as const) {
  test(`a server of the program’s own by ${how} answers what is in flight at a stop, and takes no more`, async t => {
    const scene = new Scene(t)
    const pid = await startProgram(scene, sockets('answers', how))
    const slow = request(t, scene, '/slow')
    await scene.until('the slow request has come', () => scene.exists('requests'))
    process.kill(pid, 'SIGTERM')
    await takesNoMore(t, scene)
    scene.write('go', '')
    const answer = await slow
    t.is(await text(answer), 'answer to /slow')
    t.is(answer.headers.connection, 'close')
    await scene.empty()
  })
}

test('close() closes a server of the program’s own on the descriptor of a socket', async t => {
  const scene = new Scene(t)
  const pid = await startProgram(scene, sockets('closesWithItsServerOnTheDescriptor'))
  process.kill(pid, 'SIGUSR2')
  await scene.empty()
  t.is(scene.read('requests'), 'closed\n')
})

test('stop hooks run after the servers have drained', async t => {
  const scene = new Scene(t)
  const pid = await startProgram(scene, sockets('tellsWhenItHasDrained'))
  const slow = request(t, scene, '/slow')
  await scene.until('the slow request has come', () => scene.exists('requests'))
  process.kill(pid, 'SIGTERM')
  await scene.until('it stops', () => /stopping on SIGTERM/.test(scene.read('d.log')))
  scene.write('go', '')
  await text(await slow)
  await scene.empty()
  t.is(scene.read('requests'), '/slow\nclosed\nhook\n')
})

test('a server of plain connections ends with its last one', async t => {
  const scene = new Scene(t)
  const pid = await startProgram(scene, sockets('echoes'))
  const socket = await open(t, scene)
  process.kill(pid, 'SIGTERM')
  await takesNoMore(t, scene)
  socket.write('me')
  t.is(await text(socket), 'echo me')
  await scene.empty()
})

test('a daemon is ready when its servers listen', async t => {
  await isReadyAtGo(t, new Scene(t), sockets('listensAtGo'), 'turned')
})

test('a server that can’t listen fails the start', async t => {
  const scene = new Scene(t)
  const { code, stderr } = await scene.node(sockets('cannotListen'))
  t.deepEqual(scene.processes(), [])
  t.regex(stderr, /exited with 1 before it was ready.*no ears/s)
  t.is(code, 1)
})

test('a server that closes unasked ends the daemon with 1', async t => {
  const scene = new Scene(t)
  const { child, end } = await inForeground(scene, sockets('closesItsServerOnUsr2'))
  child.kill('SIGUSR2')
  const { code, stderr } = await end
  t.is(code, 1)
  t.regex(stderr, /error: the server on 'web' closed unasked/)
})

test('serve() rejects for a socket that is not in `listen`, names those that are, and one that is served already', async t => {
  const scene = new Scene(t)
  await startProgram(scene, sockets('serves', 'wbe', 'web', 'web'))
  await scene.until('it has tried', () => scene.exists('rejected') && scene.read('rejected').endsWith('end\n'))
  t.is(
    scene.read('rejected'),
    "ERR_DAEMON_OPTION: There is no socket 'wbe' in `listen`; there is: web\n" +
      "ERR_DAEMON_OPTION: The socket 'web' is served already: a socket has one server in a process\nend\n",
  )
})

test('a Unix socket has the mode that is asked for, and a path longer than sockaddr_un works', async t => {
  const scene = new Scene(t)
  const directory = 'long'.repeat(30)
  mkdirSync(scene.path(directory))
  const listen = { web: { path: `./${directory}/d.sock`, mode: 0o600 } }
  await startProgram(scene, sockets('saysHello', { listen }))
  const { stdout } = await scene.run('stat', ['-c', '%a %F', scene.path(`${directory}/d.sock`)])
  t.is(stdout, '600 socket\n')
  const client = `require('net').connect('d.sock').pipe(process.stdout)`
  const heard = await scene.run(process.execPath, ['-e', client], { cwd: scene.path(directory) })
  t.is(heard.stdout, 'hello', heard.stderr)
})
