// connect(): a client's way to a daemon, and where socket files lie.
import { once } from 'node:events'
import { chmodSync, chownSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer, type ListenOptions } from 'node:net'
import test from 'ava'
import { connect, stop } from 'daemonic'
import { callers, inScene, launched, launchOf, launchOnce, type Told, told } from './support/launching.js'
import { asRoot, NOBODY } from './support/locks.js'
import { Scene } from './support/scene.js'

async function answer(target: string, socket: string): Promise<string> {
  let text = ''
  for await (const piece of await connect(target, socket)) text += piece
  return text
}

test('a client is connected by the name of the socket', async t => {
  const scene = new Scene(t)
  const listen = {
    unix: './d.sock',
    all: 0,
    four: '127.0.0.1:0',
    own: { path: true },
    named: { path: 'named.sock' },
  } as const
  const { pid, target = '', addresses } = await launchOnce(scene, launched('saysItsSockets'), { listen })
  for (const name of Object.keys(listen)) t.is(await answer(target, name), `${name} of ${pid}`)
  t.like(addresses, {
    unix: scene.path('d.sock'),
    own: scene.path('d.own.sock'),
    named: scene.path('named.sock'),
  })
  await stop(target)
  t.deepEqual(scene.files(), [])
})

test('a socket’s path may be longer than the kernel’s addresses', async t => {
  const scene = new Scene(t)
  const directory = scene.path('long'.repeat(30))
  mkdirSync(directory)
  const options = { listen: { main: { path: true } }, instance: '/home/me/project' } as const
  const run = inScene(scene, { env: { DAEMONIC_RUNTIME_DIR: directory } })
  const {
    pid,
    target = '',
    addresses,
    error,
  }: Told = told(await scene.node(callers('launches', ...launchOf(launched('saysItsSockets'), options)), run))
  t.is(error, undefined)
  t.true((addresses?.main ?? '').length > 108)
  t.is(await answer(target, 'main'), `main of ${pid}`)
  await stop(target)
})

test('a daemon’s own environment doesn’t move its socket', async t => {
  const scene = new Scene(t)
  const options = { listen: { main: { path: true } }, env: { DAEMONIC_RUNTIME_DIR: '/nowhere' } } as const
  const { pid, target = '' } = await launchOnce(scene, launched('saysItsSockets'), options)
  t.is(await answer(target, 'main'), `main of ${pid}`)
  await stop(target)
  t.deepEqual(scene.files(), [])
})

test('what doesn’t run, has no such socket, or no longer answers is told apart', async t => {
  const scene = new Scene(t)
  const target = scene.path('d.pid')
  await t.throwsAsync(connect(target, 'main'), { code: 'ERR_DAEMON_NOT_RUNNING' })
  await launchOnce(scene, launched('callsDaemonize'), { listen: { main: './d.sock', other: 0 }, ready: 'loaded' })
  await t.throwsAsync(connect(target, 'web'), {
    code: 'ERR_DAEMON_OPTION',
    message: /no socket 'web'; it has: main, other/,
  })
  scene.remove('d.sock')
  await t.throwsAsync(connect(target, 'main'), { code: 'ERR_DAEMON_NOT_RUNNING' })
})

asRoot('root is connected to another user’s daemon, and to nothing else that such a daemon names', async t => {
  const scene = new Scene(t)
  mkdirSync(scene.path('theirs'))
  scene.giveTo(NOBODY, 'theirs')
  chmodSync(scene.directory, 0o755)
  const [path, ...args] = launched('saysItsSockets')
  const calling = callers('launches', path, {
    name: 'd',
    args,
    log: 'ignore',
    pidFile: scene.path('theirs/d.pid'),
    listen: { unix: scene.path('theirs/d.sock'), tcp: '127.0.0.1:0' },
  })
  const env = { DAEMONIC_RUNTIME_DIR: scene.path('theirs'), XDG_STATE_HOME: scene.path('theirs') }
  const { error, pid, target = '' } = told(await scene.node(calling, { uid: NOBODY, gid: NOBODY, env }))
  t.is(error, undefined)
  for (const name of ['unix', 'tcp']) t.is(await answer(target, name), `${name} of ${pid}`)
  // What is root's own, and the daemon can’t reach itself.
  let clients = 0
  const listening = async (options: ListenOptions) => {
    const server = createServer(client => client.on('data', () => clients++)).listen(options)
    t.teardown(() => server.close())
    await once(server, 'listening')
    return server.address() as AddressInfo
  }
  await listening({ path: scene.path('secret.sock') })
  const { port } = await listening({ port: 0, host: '127.0.0.1' })
  const state = JSON.parse(readFileSync(scene.path('theirs/d.json'), 'utf8'))
  const addresses = { unix: scene.path('secret.sock'), tcp: `127.0.0.1:${port}` }
  writeFileSync(scene.path('theirs/d.json'), JSON.stringify({ ...state, addresses }))
  chownSync(scene.path('theirs/d.json'), NOBODY, NOBODY)
  for (const name of ['unix', 'tcp']) {
    await t.throwsAsync(connect(target, name), { code: 'ERR_DAEMON_UNVERIFIED', message: /user 65534’s/ })
  }
  t.is(clients, 0)
})
