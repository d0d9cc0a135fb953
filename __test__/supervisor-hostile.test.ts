// What a worker, or a process that it has started, may not do to its supervisor, whatever it writes.
import { chmodSync, existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { type LaunchOptions, status, stop } from 'daemonic'
import type { Programs } from './fixtures/hostile.js'
import { callers, inScene, launchOnce, told } from './support/launching.js'
import { asRoot, NOBODY, withPython } from './support/locks.js'
import { finished, programs, Scene, script } from './support/scene.js'
import { Supervisor, startSupervised, statusLine } from './support/supervised.js'

const hostile = programs<Programs>('hostile')
/** Bytes of memory that a worker may make its supervisor take. */
const MOST_MEMORY = 2 * 1024 * 1024
/** Milliseconds; the promise is 100, on a machine that does nothing else: the figures stand in bench. */
const SOON = 2_000

// ── The channel ──────────────────────────────────────────────────────────────────────────

/** Starts a program whose first worker floods its channel. */
async function flooded(scene: Scene, yes: readonly string[]): Promise<Supervisor> {
  return startSupervised(scene, hostile('floods', [...yes]))
}

async function answersSoon(t: ExecutionContext, supervisor: Supervisor): Promise<void> {
  for (let times = 0; times < 20; times++) {
    const from = performance.now()
    t.true((await supervisor.ask({ do: 'status' })).ok)
    t.true(performance.now() - from < SOON)
  }
}

const residentBytes = (pid: number) => Number.parseInt(statusLine(pid, 'VmRSS'), 10) * 1024

for (const [what, ...yes] of [
  ['lines that have no meaning', 'X=1'],
  ['empty lines', ''],
  ['failures', 'FAILURE=1 2'],
  ['statuses', `STATUS=${'x'.repeat(9_000)}`],
  ['requests', 'BIND=1 {}'],
  ['wishes', 'WISHES=1 {"identity":{"user":0}}'],
  ['lines that are too long', 'x'.repeat(30_000)],
] as const) {
  test(`a worker that writes ${what} without end delays nothing, and costs no memory`, async t => {
    const scene = new Scene(t)
    const supervisor = await flooded(scene, yes)
    const before = residentBytes(supervisor.pid)
    await answersSoon(t, supervisor)
    t.true(residentBytes(supervisor.pid) - before < MOST_MEMORY)
    supervisor.signal('SIGTERM')
    const from = performance.now()
    await supervisor.logged(/info: stopping on SIGTERM\n/)
    t.true(performance.now() - from < SOON)
    await stop(scene.path('d.pid')).catch(() => {})
  })
}

const NINE = `{"supervision":{"workers":9,"scalable":true,"restart":"always","maxDelay":1,"steadyAfter":1,"watchdog":null,"maxFailures":null,"maxMemory":null,"settle":0,"killTree":false,"reload":"auto","reloadSignal":null,"startAs":"user"},"stopTimeout":1}`

test('a worker loosens nothing that the operator set', async t => {
  const scene = new Scene(t)
  const lines = `WISHES=1 ${NINE}\nSUPERVISION=${JSON.stringify(JSON.parse(NINE).supervision)}\n`
  const { error, pid = 0 } = await launchOnce(scene, hostile('says', lines), {
    name: 'd',
    workers: 2,
    monitor: { maxFailures: 3 },
    stopTimeout: 5_000,
  })
  t.is(error, undefined)
  const supervisor = new Supervisor(scene, pid)
  t.is((await supervisor.workers(2)).length, 2)
  t.is((await supervisor.status()).stopTimeout, 5_000)
})

for (const monitor of [true, undefined]) {
  test(`what it left open a program’s own call decides (monitor: ${monitor})`, async t => {
    const scene = new Scene(t)
    const options: LaunchOptions = { name: 'd', log: './d.log', ...(monitor && { monitor }) }
    const { error, pid = 0 } = await launchOnce(scene, hostile('wants', { stopTimeout: 700 }), options)
    t.is(error, undefined)
    t.like(JSON.parse(scene.read('d.json')), { pid, stopTimeout: 700 })
    t.is((await status(scene.path('d.pid'))).stopTimeout, 700)
    scene.write('hang', '')
    await scene.until('it hangs', () => scene.exists('hangs'))
    const from = performance.now()
    t.is((await stop(scene.path('d.pid'))).forced, !monitor, 'the supervisor kills its worker in time')
    t.true(performance.now() - from < 20_000)
  })
}

test('a supervised program’s own idleTimeout stops the daemon', async t => {
  const scene = new Scene(t)
  const options: LaunchOptions = { name: 'd', log: './d.log', monitor: true }
  const { error } = await launchOnce(scene, hostile('wants', { idleTimeout: 300 }), options)
  t.is(error, undefined)
  await scene.empty()
  t.regex(scene.read('d.log'), /every worker is idle: stopping/)
})

// ── Datagrams ────────────────────────────────────────────────────────────────────────────

const notifier = script('notify.py')
const STAY = 'exec sleep 1000'

function shell(scene: Scene, text: string): string {
  return scene.write('d.sh', `cd '${scene.directory}'\n${text}\n`)
}

function launching(scene: Scene, path: string, options: LaunchOptions = {}) {
  const calling = callers('launches', path, { name: 'd', interpreter: '/bin/sh', ...options })
  return finished(scene.spawnNode(calling, inScene(scene))).then(told)
}

withPython('words that are for a channel count for nothing in a datagram', async t => {
  const scene = new Scene(t)
  const bind = `{"name":"x","host":null,"port":null,"path":"${scene.path('x.sock')}","mode":511,"backlog":1,"ipv6Only":false,"reusePort":false,"udp":false}`
  const words = `BIND=1 ${bind}\nBIND=${bind}\nWISHES=1 ${NINE}\nSUPERVISION=${JSON.stringify(JSON.parse(NINE).supervision)}\nREADY=1`
  scene.write('words', words)
  const path = shell(scene, `python3 ${notifier} "$(cat words)"\n${STAY}`)
  const { error, pid = 0 } = await launching(scene, path, { ready: 'manual', monitor: { maxFailures: 3 } })
  t.is(error, undefined)
  t.is((await new Supervisor(scene, pid).workers(1)).length, 1)
  t.false(scene.exists('x.sock'))
})

asRoot('a process of another user that a worker has started does not make it ready', async t => {
  const scene = new Scene(t)
  chmodSync(scene.directory, 0o711)
  const asNobody = `env PATH=/usr/bin:/bin setpriv --reuid=${NOBODY} --clear-groups python3 ${notifier}`
  const path = shell(
    scene,
    `${asNobody} 'READY=1\nSTATUS=not mine'; echo $? > said
while [ ! -e go ]; do sleep 0.02; done; : > ready; python3 ${notifier} READY=1\n${STAY}`,
  )
  const result = launching(scene, path, { ready: 'manual' })
  await scene.until('it has been said', () => scene.exists('said') && scene.read('said'))
  t.is(scene.read('said'), '0\n', 'it can write there: a program may change its user itself')
  const { workers = [] } = await new Supervisor(scene, 0).ask({ do: 'status' })
  t.like(workers[0], { ready: false, statusText: null })
  scene.write('go', '')
  const { error, wasReady } = await result
  t.is(error, undefined)
  t.true(wasReady)
})

/** Starts a foreign program that others may read; gives its NOTIFY_SOCKET. */
async function notifyAddress(scene: Scene, options: LaunchOptions = {}): Promise<string> {
  chmodSync(scene.directory, 0o711)
  scene.remove('d.log')
  const path = scene.write('d.sh', `printenv NOTIFY_SOCKET\n${STAY}\n`)
  const { error } = await launching(scene, path, { log: './d.log', ...options })
  if (error) throw new Error(JSON.stringify(error))
  return scene.read('d.log').trim()
}

test('the notify socket has a path that only its user can find, and goes with the daemon', async t => {
  const scene = new Scene(t)
  const address = await notifyAddress(scene, {})
  t.regex(address, /\/d\.notify\/[0-9a-f]{16}\/s$/)
  for (const directory of [dirname(address), dirname(dirname(address))]) {
    t.is(statSync(directory).mode & 0o777, 0o711)
  }
  const expected = process.getuid?.() === 0 ? 0o666 : 0o600
  t.is(lstatSync(address).mode & 0o777, expected)
  t.false(readFileSync('/proc/net/unix', 'latin1').includes(dirname(address)))
  await stop(scene.path('d.pid'))
  t.false(existsSync(scene.path('d.notify')))
})

asRoot('with `user` the notify socket is that user’s alone; where the user can’t reach it, it has no path', async t => {
  const scene = new Scene(t)
  mkdirSync(scene.path('closed'), { mode: 0o700 })
  t.regex(await notifyAddress(scene, { user: NOBODY, pidFile: './closed/d.pid' }), /^@/)
  await stop(scene.path('closed/d.pid'))
  const address = await notifyAddress(scene, { user: NOBODY, pidFile: './d.pid' })
  t.is(lstatSync(address).uid, NOBODY)
  t.is(lstatSync(address).mode & 0o777, 0o600)
})

test('what a killed supervisor left of its notify socket the next one removes', async t => {
  const scene = new Scene(t)
  await notifyAddress(scene, { pidFile: './d.pid' })
  process.kill(Number(scene.read('d.pid')), 'SIGKILL')
  await scene.empty()
  const address = await notifyAddress(scene, { pidFile: './d.pid' })
  t.deepEqual(readdirSync(scene.path('d.notify')), [dirname(address).split('/').at(-1)])
})

test('where the path would be too long for an address, it has none', async t => {
  const scene = new Scene(t)
  const directory = 'x'.repeat(80)
  mkdirSync(scene.path(directory))
  t.regex(await notifyAddress(scene, { pidFile: `./${directory}/d.pid` }), /^@/)
  t.deepEqual(readdirSync(scene.path(directory)).sort(), ['d.json', 'd.pid', 'd.sock'])
})

withPython('processes of a worker that send datagrams without end delay nothing', async t => {
  const scene = new Scene(t)
  const path = shell(scene, `for i in 1 2; do python3 ${script('notify-flood.py')} & done\n${STAY}`)
  const { error, pid = 0 } = await launching(scene, path)
  t.is(error, undefined)
  const supervisor = new Supervisor(scene, pid)
  await scene.until('it is flooded', async () => (await supervisor.status()).statusText?.startsWith('xxx'))
  const before = residentBytes(pid)
  await answersSoon(t, supervisor)
  t.true(residentBytes(pid) - before < MOST_MEMORY)
})
