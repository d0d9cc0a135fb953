import test from 'ava'
import { address, become, GREETER, greeting, portOf } from './support/listening.js'
import { STAY, withPython } from './support/locks.js'
import { inForeground, program, startProgram } from './support/program.js'
import { finished, Scene } from './support/scene.js'

// ── How they are passed ──────────────────────────────────────────────────────────────────

test('start-up code sees the sockets in LISTEN_*, which is gone after the call', async t => {
  const scene = new Scene(t)
  const text = `tell('told', JSON.stringify({ early, sockets: daemon.sockets, left: Object.keys(process.env).filter(name => name.startsWith('LISTEN_')) })); ${STAY}`
  const run = { env: { LISTEN_FDS: '7', LISTEN_PID: '1', LISTEN_FDNAMES: 'somebody’s' } }
  const pid = await startProgram(scene, become({ one: '127.0.0.1:0', two: './d.sock' }) + text, run)
  const told = JSON.parse(scene.read('told'))
  t.deepEqual(told.early, { LISTEN_FDS: '2', LISTEN_PID: `${pid}`, LISTEN_FDNAMES: 'one:two' })
  t.deepEqual(told.left, [])
  t.like(told.sockets, { one: { fd: 3 }, two: { fd: 4, address: scene.path('d.sock') } })
})

const SERVERS: Record<string, { server: string; client: string; tls?: boolean }> = {
  net: {
    server: `net.createServer(socket => socket.end('hello'))`,
    client: `require('net').connect(port, '127.0.0.1').pipe(process.stdout)`,
  },
  http: {
    server: `(await import('node:http')).createServer((_, response) => response.end('hello'))`,
    client: `require('http').get({ port, host: '127.0.0.1' }, response => response.pipe(process.stdout))`,
  },
  https: {
    server: `(await import('node:https')).createServer(tls(), (_, response) => response.end('hello'))`,
    client: `require('https').get({ port, host: '127.0.0.1', rejectUnauthorized: false, agent: false }, response => response.pipe(process.stdout))`,
    tls: true,
  },
  http2: {
    server: `(await import('node:http2')).createServer((_, response) => response.end('hello'))`,
    client: `const c = require('http2').connect('http://127.0.0.1:' + port); const r = c.request({ ':path': '/' }); r.on('close', () => c.close()); r.pipe(process.stdout)`,
  },
}

for (const [what, { server, client, tls = false }] of Object.entries(SERVERS)) {
  for (const [how, use] of [
    ['serve()', `await daemon.serve(server, 'it')`],
    ['listen()', `await new Promise(resolve => server.listen(daemon.sockets.it, resolve))`],
  ] as const) {
    test(`a server of node:${what} serves on it, by ${how}`, async t => {
      const scene = new Scene(t)
      const key =
        'openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -keyout key -out cert'
      if (tls && (await scene.run('sh', ['-c', key])).code !== 0) {
        t.pass('skipped: there is no openssl(1) to make a key with')
        return
      }
      const text = `const tls = () => ({ key: fs.readFileSync(here + '/key'), cert: fs.readFileSync(here + '/cert') })
const server = ${server}; ${use}; tell('ready', '')`
      await startProgram(scene, `${become({ it: '127.0.0.1:0' })} ${text}`)
      await scene.until('it listens', () => scene.exists('ready'))
      const port = portOf(await address(scene))
      const { stdout, stderr } = await scene.run(process.execPath, ['-e', `const port = ${port}; ${client}`])
      t.is(stdout, 'hello', stderr)
    })
  }
}

/** A service manager: binds a socket and becomes the program, with LISTEN_* as sd_listen_fds(3) says. */
const MANAGER = `import os, socket, sys
sockets = [socket.socket() for _ in sys.argv[1].split(':')]
for index, each in enumerate(sockets):
    each.bind(('127.0.0.1', 0))
    each.listen()
    print(each.getsockname()[1], flush=True)
    os.dup2(each.fileno(), 100 + index) # out of the way
for index in range(len(sockets)):
    os.dup2(100 + index, 3 + index)
os.environ.update(LISTEN_FDS=str(len(sockets)), LISTEN_FDNAMES=sys.argv[1], LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
`

withPython('a socket that a service manager passes under the same name is used; the others are bound', async t => {
  const scene = new Scene(t)
  const manager = scene.write('manager.py', MANAGER)
  const text = `${become({ own: './d.sock', it: '127.0.0.1:1' }, { log: 'ignore' })}
tell('told', JSON.stringify({ sockets: daemon.sockets, early, detached: daemon.detached, left: Object.keys(process.env).filter(name => name.startsWith('LISTEN_')) })); ${GREETER}`
  const child = scene.spawn('python3', [manager, 'extra:it', process.execPath, program(scene, text)], {
    detach: 'auto',
  })
  const end = finished(child)
  await scene.until('it is ready', () => scene.exists('told') && scene.read('told').endsWith('\n'))
  const told = JSON.parse(scene.read('told'))
  t.false(told.detached)
  t.deepEqual(told.early, { LISTEN_FDS: '2', LISTEN_PID: `${child.pid}`, LISTEN_FDNAMES: 'extra:it' })
  t.deepEqual(told.left, [])
  t.is(told.sockets.it.fd, 4)
  t.is(told.sockets.own.address, scene.path('d.sock'))
  const port = portOf(told.sockets.it.address)
  t.is(await greeting({ host: '127.0.0.1', port }), `hello from ${child.pid}`)
  t.is(await address(scene), `127.0.0.1:${port}`)
  child.kill('SIGTERM')
  const { code, stdout } = await end
  t.is(code, 0)
  t.is(Number(stdout.split('\n')[1]), port)
  t.deepEqual(scene.files(), ['manager.py', 'program.mjs', 'told'])
})

test('in the foreground, sockets are bound and their files go too', async t => {
  const scene = new Scene(t)
  const { child, end } = await inForeground(scene, `${become({ it: './d.sock' }, { log: 'ignore' })} ${GREETER}`)
  await scene.until('it listens', () => scene.exists('d.sock'))
  t.is(await greeting({ path: scene.path('d.sock') }), `hello from ${child.pid}`)
  child.kill('SIGTERM')
  t.is((await end).code, 0)
  t.deepEqual(scene.files(), ['program.mjs'])
})
