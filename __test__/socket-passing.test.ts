// How listening sockets reach the daemon, and its servers.
import test from 'ava'
import { address, greeting, portOf, sockets } from './support/listening.js'
import { withPython } from './support/locks.js'
import { inForeground, startProgram } from './support/program.js'
import { finished, Scene, script } from './support/scene.js'

// ── How they are passed ──────────────────────────────────────────────────────────────────

test('start-up code sees the sockets in LISTEN_*, which is gone after the call', async t => {
  const scene = new Scene(t)
  const run = { env: { LISTEN_FDS: '7', LISTEN_PID: '1', LISTEN_FDNAMES: 'somebody’s' } }
  const pid = await startProgram(
    scene,
    sockets('tellsAndGreets', { listen: { one: '127.0.0.1:0', two: './d.sock' }, ready: 'loaded' }),
    run,
  )
  const told = JSON.parse(scene.read('told'))
  t.deepEqual(told.early, { LISTEN_FDS: '2', LISTEN_PID: `${pid}`, LISTEN_FDNAMES: 'one:two' })
  t.deepEqual(told.left, [])
  t.like(told.sockets, { one: { fd: 3 }, two: { fd: 4, address: scene.path('d.sock') } })
})

/** Clients of one line, for `node -e`. */
const CLIENTS = {
  net: `require('net').connect(port, '127.0.0.1').pipe(process.stdout)`,
  http: `require('http').get({ port, host: '127.0.0.1' }, response => response.pipe(process.stdout))`,
  https: `require('https').get({ port, host: '127.0.0.1', rejectUnauthorized: false, agent: false }, response => response.pipe(process.stdout))`,
  http2: `const c = require('http2').connect('http://127.0.0.1:' + port); const r = c.request({ ':path': '/' }); r.on('close', () => c.close()); r.pipe(process.stdout)`,
}

for (const kind of ['net', 'http', 'https', 'http2'] as const) {
  for (const how of ['serve()', 'listen()'] as const) {
    test(`a server of node:${kind} serves on it, by ${how}`, async t => {
      const scene = new Scene(t)
      const key =
        'openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -keyout key -out cert'
      if (kind === 'https' && (await scene.run('sh', ['-c', key])).code !== 0) {
        t.pass('skipped: there is no openssl(1) to make a key with')
        return
      }
      await startProgram(scene, sockets('servesBy', how, kind, { listen: { it: '127.0.0.1:0' } }))
      await scene.until('it listens', () => scene.exists('ready'))
      const port = portOf(await address(scene))
      const { stdout, stderr } = await scene.run(process.execPath, ['-e', `const port = ${port}; ${CLIENTS[kind]}`])
      t.is(stdout, 'hello', stderr)
    })
  }
}

withPython('a socket that a service manager passes under the same name is used; the others are bound', async t => {
  const scene = new Scene(t)
  const telling = sockets('tellsAndGreets', {
    listen: { own: './d.sock', it: '127.0.0.1:1' },
    log: 'ignore',
    ready: 'loaded',
  })
  const argv = [script('service-manager.py'), 'extra:it', process.execPath, ...telling]
  const child = scene.spawn('python3', argv, { detach: 'auto' })
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
  t.deepEqual(scene.files(), ['told'])
})

test('in the foreground, sockets are bound and their files go too', async t => {
  const scene = new Scene(t)
  const { child, end } = await inForeground(scene, sockets('greets', { listen: { it: './d.sock' }, log: 'ignore' }))
  await scene.until('it listens', () => scene.exists('d.sock'))
  t.is(await greeting({ path: scene.path('d.sock') }), `hello from ${child.pid}`)
  child.kill('SIGTERM')
  t.is((await end).code, 0)
  t.deepEqual(scene.files(), [])
})
