// Programs that bind their own port: two can't be beside each other, and what answers there may be another's.
import test, { type ExecutionContext } from 'ava'
import { type LaunchOptions, type MonitorOptions, reload, signal, stop } from 'daemonic'
import { cli } from './support/cli.js'
import { launchOnce, launched as programs } from './support/launching.js'
import { greeting, listener, lowPort } from './support/listening.js'
import { withPython } from './support/locks.js'
import { type Program, Scene, script } from './support/scene.js'
import { Supervisor } from './support/supervised.js'

/** Starts a program that answers at the port by its pid, first of all. */
async function start(
  t: ExecutionContext,
  program: (port: number) => Program,
  options: (port: number) => LaunchOptions,
) {
  const scene = new Scene(t)
  const port = await lowPort()
  const { pid = 0, error } = await launchOnce(scene, program(port), { log: './d.log', ...options(port) })
  t.is(error, undefined)
  const answering = async () => Number((await greeting({ port, host: '127.0.0.1' })).split(' ')[0])
  const supervisor = new Supervisor(scene, pid)
  await scene.until('it answers', () => answering().catch(() => false))
  return { scene, port, supervisor, answering, target: scene.path('d.pid'), worker: await supervisor.worker() }
}

const MASTER = (port: number): Program => [script('master.py'), `${port}`]
const asProgram = (monitor: MonitorOptions) => (port: number) =>
  ({ interpreter: null, monitor, ready: 'port', listen: { it: port } }) as const
const asUnknown = (monitor: MonitorOptions) => () => ({ interpreter: null, monitor }) as const
const MASTER_OPTIONS = asProgram({ settle: 200 })
const asScript = (monitor: MonitorOptions) => () => ({ monitor })

withPython('a start is refused where somebody answers already, and says who', async t => {
  const scene = new Scene(t)
  const port = await lowPort()
  await listener(t, { port, host: '127.0.0.1' })
  const { error } = await launchOnce(scene, MASTER(port), asProgram({})(port))
  t.is(error?.code, 'EADDRINUSE')
  t.true(error?.message.includes(`${port}`), error?.message)
  t.true(error?.message.includes(`pid ${process.pid}`), error?.message)
  await scene.empty()
})

for (const [kind, program, options, address] of [
  ['at a known address', MASTER, MASTER_OPTIONS, 'localhost:PORT'],
  ['nobody told of', MASTER, asUnknown({ settle: 200 }), 'port PORT'],
  ['in a script', (port: number) => programs('listensItself', port), asScript({ settle: 200 }), 'port PORT'],
  ['in a cluster program', (port: number) => programs('clusters', port), asScript({ settle: 200 }), 'port PORT'],
] as const) {
  withPython(`a port of its own, ${kind}: a reload is refused, says what helps, and touches nothing`, async t => {
    const { target, answering, worker, port } = await start(t, program, options)
    const error = await t.throwsAsync(reload(target), { code: 'ERR_DAEMON_RELOAD' })
    t.true(error.message.includes(`it listens on ${address.replace('PORT', `${port}`)} itself`), error.message)
    const listen = options === MASTER_OPTIONS ? `--listen localhost:${port} and` : `--listen ${port},`
    for (const way of [listen, '--reload-signal HUP', '--reload restart']) t.true(error.message.includes(way), way)
    t.is(await answering(), worker)
    await stop(target)
  })
}

withPython('reload: restart stops it, then starts the next', async t => {
  const { target, answering, worker, supervisor } = await start(t, MASTER, asProgram({ reload: 'restart' }))
  await reload(target)
  const next = await supervisor.worker([worker])
  t.is(await answering(), next)
  await stop(target)
})

test('reloadSignal reaches the program, by reload() and by HUP to the daemon', async t => {
  const scene = new Scene(t)
  const path = scene.write('d.sh', `cd '${scene.directory}'; trap 'echo >> reloads' USR2; while :; do sleep 0.05; done`)
  const monitor = { reloadSignal: 'SIGUSR2', settle: 100 } as const
  const { pid = 0, error } = await launchOnce(scene, [path], { name: 'd', interpreter: '/bin/sh', monitor })
  t.is(error, undefined)
  const reloads = (count: number) => () => scene.exists('reloads') && scene.read('reloads').length === count
  const worker = await new Supervisor(scene, pid).worker()
  await reload(scene.path('d.pid'))
  await scene.until('it has reloaded', reloads(1))
  await signal(scene.path('d.pid'), 'SIGHUP')
  await scene.until('it has reloaded again', reloads(2))
  await signal(scene.path('d.pid'), 'SIGUSR2', { to: 'worker' })
  await scene.until('it got the signal itself', reloads(3))
  t.is(await new Supervisor(scene, pid).worker(), worker)
})

test('a program that dies of its reloadSignal fails the reload, and is started again', async t => {
  const scene = new Scene(t)
  const path = scene.write('d.sh', 'exec sleep 1000')
  const monitor = { reloadSignal: 'SIGHUP', restart: 'no' } as const
  const { pid = 0 } = await launchOnce(scene, [path], { name: 'd', interpreter: '/bin/sh', monitor })
  const supervisor = new Supervisor(scene, pid)
  const worker = await supervisor.worker()
  await t.throwsAsync(reload(scene.path('d.pid')), { message: new RegExp(`pid ${worker}\\) killed by SIGHUP`) })
  t.truthy(await supervisor.worker([worker]))
})

test('signal --to worker is the command’s', async t => {
  const scene = new Scene(t)
  scene.write('d.sh', `trap 'echo >> signals' HUP; while :; do sleep 0.05; done`)
  t.is((await cli(scene, ['start', '--', '/bin/sh', './d.sh'])).code, 0)
  const { code, stderr } = await cli(scene, ['signal', '--to', 'worker', 'sh', 'HUP'])
  t.is(code, 0, stderr)
  await scene.until('it got the signal', () => scene.exists('signals'))
  t.is((await cli(scene, ['stop', 'sh'])).code, 0)
})

test('several workers that bind the same port: the failed start says how they share it', async t => {
  const scene = new Scene(t)
  const port = await lowPort()
  const { error } = await launchOnce(scene, programs('listensItself', port), { workers: 2 })
  t.is(error?.code, 'ERR_DAEMON_START')
  t.true(error?.message.includes(`each of its 2 workers binds port ${port} itself`), error?.message)
  t.true(error?.message.includes(`--listen ${port}`), error?.message)
  await scene.empty()
})
