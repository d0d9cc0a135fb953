// What every JavaScript runtime must do: start, fail, lock, stop, serve, reopen, supervise. `npm run test:runtimes` runs these
// tests for each runtime that it installs; DAEMONIC_TEST_RUNTIME is the command, as a list in JSON.
import { once } from 'node:events'
import { mkdirSync, renameSync, symlinkSync } from 'node:fs'
import { connect } from 'node:net'
import test, { type ExecutionContext } from 'ava'
import { DaemonError, PidLock, signal, status, stop } from '../../index.js'
import { ROOT } from '../support/checkout.js'
import { type Result, Scene } from '../support/scene.js'

const RUNTIME: readonly string[] = JSON.parse(process.env.DAEMONIC_TEST_RUNTIME ?? `["${process.execPath}"]`)
/** Bun's http.Server ignores the descriptor that it is to listen on. */
const servesHttp = !RUNTIME[0]?.endsWith('bun')

/** A directory with a program that imports the library as users do. */
function project(t: ExecutionContext, program: string): { scene: Scene; run(): Promise<Result>; pidFile: string } {
  const scene = new Scene(t)
  mkdirSync(scene.path('node_modules'))
  symlinkSync(ROOT, scene.path('node_modules/daemonic'))
  scene.write('package.json', '{ "type": "module", "dependencies": { "daemonic": "*" } }')
  scene.write('program.mjs', program)
  const [command = '', ...args] = RUNTIME
  return {
    scene,
    pidFile: scene.path('program.pid'),
    run: () => scene.run(command, [...args, 'program.mjs'], { env: { NO_COLOR: '1' } }),
  }
}

/** A daemon with these options, which then does `rest`. */
function daemon(options: string, rest = 'setInterval(() => {}, 1_000_000)'): string {
  return `import { daemonize } from 'daemonic'
import { createServer } from 'node:net'
import * as http from 'node:http'
const here = import.meta.dirname
const daemon = daemonize({ pidFile: here + '/program.pid', log: here + '/program.log', ${options} })
${rest}
`
}

/** What a server on this address says. */
async function answer(address: string | undefined): Promise<string> {
  const socket = connect(Number(address?.split(':').at(-1)), '127.0.0.1')
  let text = ''
  socket.on('data', data => (text += data))
  await once(socket, 'close')
  return text
}

const SERVE = "await daemon.serve(createServer(socket => socket.end('from ' + process.pid)), 'tcp')"

test('a daemon is ready when its launcher returns, is the one that its pid file names, and stops', async t => {
  const { run, scene, pidFile } = project(t, daemon('', `console.log('begun'); setInterval(() => {}, 1_000_000)`))
  const { code, stderr } = await run()
  const running = await status(pidFile)
  const stopped = await stop(pidFile)
  await scene.empty()
  t.deepEqual([code, stderr], [0, ''])
  t.like(running, { state: 'running', verified: true })
  t.like(stopped, { wasRunning: true, forced: false, pid: running.pid })
  t.false(scene.exists('program.pid'))
  t.regex(scene.read('program.log'), /^begun\n/)
})

test('a program that throws before it is ready is a failed start, with its own words, and leaves nothing', async t => {
  const { run, scene } = project(t, daemon(`ready: 'manual'`, `throw new Error('no database')`))
  const { code, stderr } = await run()
  await scene.empty()
  t.is(code, 1)
  t.regex(stderr, /the daemon exited with 1 before it was ready[\s\S]*no database/)
  t.false(scene.exists('program.pid'))
})

test('a second start is refused, and the lock is seen by every runtime', async t => {
  const { run, pidFile } = project(t, daemon(''))
  await run()
  const { pid } = await status(pidFile)
  const { code, stderr } = await run()
  t.not(code, 0)
  t.true(stderr.includes(`${pid}`), stderr)
  t.throws(() => PidLock.acquire(pidFile), { instanceOf: DaemonError, code: 'ERR_DAEMON_RUNNING' })
})

test('SIGTERM runs the hooks', async t => {
  const stopping = `daemon.onStop(async () => console.log('flushed')); setInterval(() => {}, 1_000_000)`
  const { run, scene, pidFile } = project(t, daemon('', stopping))
  await run()
  await signal(pidFile, 'SIGTERM')
  await scene.empty()
  t.regex(scene.read('program.log'), /flushed/)
})

test('an option that does not exist is refused, and nothing is started', async t => {
  const { run, scene } = project(t, daemon('pidFlie: 1'))
  const { code, stderr } = await run()
  t.is(code, 2)
  t.regex(stderr, /pidFlie[\s\S]*pidFile/)
  t.deepEqual(scene.processes(), [])
})

test('a net.Server serves a socket that the launcher bound', async t => {
  const { run, pidFile } = project(t, daemon('listen: { tcp: 0 }', SERVE))
  const { code, stderr } = await run()
  t.deepEqual([code, stderr], [0, ''])
  const { pid, addresses } = await status(pidFile)
  t.is(await answer(addresses.tcp), `from ${pid}`)
  t.like(await stop(pidFile), { forced: false })
})

test(servesHttp ? 'an http.Server serves such a socket' : 'an http.Server, which can’t, is refused', async t => {
  const serving = `await daemon.serve(http.createServer((_, response) => response.end('hello')), 'http')`
  const { run, pidFile } = project(t, daemon('listen: { http: 0 }', serving))
  const { code, stderr } = await run()
  if (servesHttp) {
    const { addresses } = await status(pidFile)
    const response = await fetch(`http://127.0.0.1:${addresses.http?.split(':').at(-1)}`)
    t.deepEqual([code, await response.text()], [0, 'hello'])
    t.like(await stop(pidFile), { forced: false })
  } else {
    t.is(code, 1)
    t.regex(stderr, /can’t listen on a socket that was bound for it/)
    t.like(await status(pidFile), { state: 'stopped' })
  }
})

test('the log is opened anew', async t => {
  const { run, scene, pidFile } = project(t, daemon('', `setInterval(() => console.log('line'), 20)`))
  await run()
  await scene.until('there is a line', () => scene.exists('program.log') && scene.read('program.log'))
  renameSync(scene.path('program.log'), scene.path('old.log'))
  await signal(pidFile, 'SIGHUP')
  t.true(
    await scene.until('the new file has lines', () => scene.exists('program.log') && scene.read('program.log') !== ''),
  )
})

test('two workers share a socket; one that is killed is replaced, and a reload replaces both', async t => {
  const { run, scene, pidFile } = project(t, daemon('workers: 2, listen: { tcp: 0 }, monitor: { settle: 0 }', SERVE))
  const { code, stderr } = await run()
  t.deepEqual([code, stderr], [0, ''])
  const first = await status(pidFile)
  process.kill(first.workers[0]?.pid ?? 0, 'SIGKILL')
  const isNew = (before: typeof first) => async () => {
    const now = await status(pidFile)
    const known = before.workers.map(({ pid }) => pid)
    return (
      now.workers.length === 2 &&
      now.workers.every(({ ready }) => ready) &&
      now.workers.some(each => !known.includes(each.pid)) &&
      now
    )
  }
  const second = await scene.until('there is a successor', isNew(first))
  await signal(pidFile, 'SIGHUP')
  const known = new Set(second.workers.map(({ pid }) => pid))
  const reloaded = await scene.until('both are new', async () => {
    const now = await isNew(second)()
    return now !== false && now.workers.every(({ pid }) => !known.has(pid)) && now
  })
  const from = (await answer(reloaded.addresses.tcp)).replace('from ', '')
  t.true(reloaded.workers.some(({ pid }) => `${pid}` === from))
  t.like(await stop(pidFile), { wasRunning: true, forced: false })
})

test('launch() starts a script that knows nothing of this', async t => {
  const program = `import { launch, status, stop } from 'daemonic'
const { pid } = await launch(import.meta.dirname + '/plain.mjs', { pidFile: import.meta.dirname + '/plain.pid' })
const { state } = await status(import.meta.dirname + '/plain.pid')
const { wasRunning } = await stop(import.meta.dirname + '/plain.pid')
console.log(JSON.stringify([typeof pid, state, wasRunning]))
`
  const { run, scene } = project(t, program)
  scene.write('plain.mjs', 'setInterval(() => {}, 1_000_000)')
  const { code, stdout, stderr } = await run()
  t.is(code, 0, stderr)
  t.deepEqual(JSON.parse(stdout), ['number', 'running', true])
})
