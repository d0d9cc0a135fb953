// HTTP/2 over TLS at a stop: its clients hear of it by a GOAWAY, and what is under way is answered.
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect } from 'node:http2'
import { Agent, request } from 'node:https'
import { text } from 'node:stream/consumers'
import test from 'ava'
import { PidLock } from 'daemonic'
import { inline } from './support/inline.js'
import { startProgram } from './support/program.js'
import { Scene } from './support/scene.js'

/** Answers /slow only when the file `go` is there. */
const SERVER = (allowHTTP1: boolean, more = '') => `import http2 from 'node:http2'
const daemon = become({ listen: { web: '127.0.0.1:0' }, stopTimeout: 40_000${more} })
const [key, cert] = ['key', 'cert'].map(file => fs.readFileSync(here + '/' + file))
const server = http2.createSecureServer({ key, cert, allowHTTP1: ${allowHTTP1} }, (request, response) => {
  tell('requests', request.url)
  const answer = () => response.end('answer to ' + request.url)
  if (request.url !== '/slow') return answer()
  const asked = setInterval(() => fs.existsSync(here + '/go') && (clearInterval(asked), answer()), 10)
})
await daemon.serve(server, 'web')
`

function addressOf(scene: Scene): string {
  return JSON.parse(scene.read('d.json')).addresses.web
}

function hasKey(scene: Scene): boolean {
  const [key, cert] = [scene.path('key'), scene.path('cert')]
  const words = '-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost'.split(' ')
  return spawnSync('openssl', ['req', '-x509', ...words, '-keyout', key, '-out', cert]).status === 0
}

for (const allowHTTP1 of [false, true]) {
  test(`a stop ends sessions by GOAWAY and answers their streams${allowHTTP1 ? ', HTTP/1 beside them' : ''}`, async t => {
    const scene = new Scene(t)
    if (!hasKey(scene)) {
      t.pass('skipped: there is no openssl(1) to make a key with')
      return
    }
    const pid = await startProgram(scene, inline(scene, SERVER(allowHTTP1)))
    const ca = readFileSync(scene.path('cert'))
    const open = () =>
      connect(`https://${addressOf(scene)}`, { ca, servername: 'localhost', checkServerIdentity: () => undefined })
    const [idle, busy] = [open(), open()]
    for (const session of [idle, busy]) session.on('error', () => {})
    t.teardown(() => {
      idle.destroy()
      busy.destroy()
    })
    await Promise.all([once(idle, 'connect'), once(busy, 'connect')])
    const goaway = once(busy, 'goaway')
    const stream = busy.request({ ':path': '/slow' })
    const agent = new Agent({ keepAlive: true })
    t.teardown(() => agent.destroy())
    const [host = '', port] = addressOf(scene).split(':')
    const how = { host, port, agent, ca, servername: 'localhost', checkServerIdentity: () => undefined }
    const first = allowHTTP1 ? once(request({ ...how, path: '/slow' }).end(), 'response') : undefined
    const expected = allowHTTP1 ? 2 : 1
    await scene.until(
      'the slow requests have come',
      () => (scene.exists('requests') ? scene.read('requests') : '').split('/slow').length > expected,
    )

    process.kill(pid, 'SIGTERM')
    await goaway
    if (!idle.closed) await once(idle, 'close')
    t.deepEqual(scene.processes(), [pid])
    scene.write('go', '')
    t.is(await text(stream), 'answer to /slow')
    if (first) {
      const [response] = await first
      t.is(await text(response), 'answer to /slow')
      t.is(response.headers.connection, 'close')
    }
    await scene.empty()
    t.notRegex(scene.read('d.log'), /still/)
  })
}

test('a session without streams doesn’t keep a daemon from being idle, a stream does', async t => {
  const scene = new Scene(t)
  if (!hasKey(scene)) {
    t.pass('skipped: there is no openssl(1) to make a key with')
    return
  }
  await startProgram(scene, inline(scene, SERVER(true, ', idleTimeout: 400')))
  const ca = readFileSync(scene.path('cert'))
  const session = connect(`https://${addressOf(scene)}`, {
    ca,
    servername: 'localhost',
    checkServerIdentity: () => undefined,
  })
  session.on('error', () => {})
  t.teardown(() => session.destroy())
  const stream = session.request({ ':path': '/slow' })
  await scene.until('the slow request has come', () => scene.exists('requests'))
  await new Promise(resolve => setTimeout(resolve, 1_200))
  t.is(PidLock.inspect(scene.path('d.pid')).state, 'running')
  scene.write('go', '')
  t.is(await text(stream), 'answer to /slow')
  await scene.empty()
})
