// connect(): a client's way to a daemon, and where socket files lie.
import { mkdirSync } from 'node:fs'
import test from 'ava'
import { connect, stop } from 'daemonic'
import { callers, inScene, launched, launchOf, launchOnce, type Told, told } from './support/launching.js'
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
