// The command over the supervisor: workers, reload, logs, any program, and the foreground.
import { renameSync } from 'node:fs'
import test from 'ava'
import { status } from 'daemonic'
import {
  CLI,
  cli,
  cliEnvironment,
  cliOnTerminal,
  ownLines,
  place,
  placeEnding,
  spawnCli,
  started,
  workerOf,
} from './support/cli.js'
import { freePort } from './support/listening.js'
import { withNamespaces, withPython } from './support/locks.js'
import { finished, fixture, Scene } from './support/scene.js'

interface Worker {
  pid: number
  ready: boolean
  restarts: number
}

async function workersOf(scene: Scene, name: string): Promise<Worker[]> {
  return JSON.parse((await cli(scene, ['status', '--json', name])).stdout).daemons[0].workers
}

test('scale sets, adds and takes workers; status counts them', async t => {
  const scene = new Scene(t)
  place(scene, 'says-its-worker', 'app.mjs')
  t.is((await cli(scene, ['start', '--workers', '2', 'app.mjs'])).code, 0)
  for (const [change, count] of [
    ['+1', 3],
    ['-2', 1],
    ['4', 4],
  ] as const) {
    const { code, stdout, stderr } = await cli(scene, ['scale', 'app', change])
    t.is(code, 0, stderr)
    t.regex(stdout, new RegExp(`^app: ${count} workers? \\(`))
    // Those that are to go may still be there.
    t.true((await workersOf(scene, 'app')).filter(each => each.ready).length >= count)
  }
  await scene.until('those that were to go have gone', async () => (await workersOf(scene, 'app')).length === 4)
  t.regex((await cli(scene, ['status', 'app'])).stdout, /^app +\d+ +running +\d+s +4 +0 /m)
})

test('reload rolls the workers over; one that isn’t ready keeps the old', async t => {
  const scene = new Scene(t)
  place(scene, 'says-its-worker', 'app.mjs')
  t.is((await cli(scene, ['start', '--workers', '2', 'app.mjs'])).code, 0)
  const before = (await workersOf(scene, 'app')).map(({ pid }) => pid)
  const reloaded = await cli(scene, ['reload', 'app'])
  t.is(reloaded.code, 0, reloaded.stderr)
  t.regex(reloaded.stdout, /^app: reloaded \(\d+ ms|\d\.\d s\)\n$/)
  const after = (await workersOf(scene, 'app')).map(({ pid }) => pid)
  t.deepEqual(
    before.filter(pid => after.includes(pid)),
    [],
  )
  placeEnding(scene, 'app.mjs', { exits: 3 })
  const failed = await cli(scene, ['reload', 'app'])
  t.is(failed.code, 1)
  t.regex(failed.stderr, /^app: /)
  t.deepEqual(
    (await workersOf(scene, 'app')).map(({ pid }) => pid),
    after,
  )
})

test('reopen takes moved logs up again, of one daemon or all', async t => {
  const scene = new Scene(t)
  place(scene, 'ticks', 'app.mjs')
  t.is((await cli(scene, ['start', 'app.mjs'])).code, 0)
  for (const args of [['app'], ['--all']]) {
    renameSync(scene.path('state/app.log'), scene.path('old.log'))
    const { code, stdout, stderr } = await cli(scene, ['reopen', ...args])
    t.is(code, 0, stderr)
    t.regex(stdout, /^app: reopened its logs \(/)
    await scene.until('it writes to the new one', () => ownLines(scene, 'state/app.log').includes('tick'))
  }
})

test('what a script’s own call wants of its supervisor wins over the defaults, not over what was given', async t => {
  const scene = new Scene(t)
  place(scene, 'wants-three-workers', 'app.mjs')
  const plain = await cli(scene, ['start', '--name', 'own', 'app.mjs'])
  t.is(plain.code, 0, plain.stderr)
  const [first] = await workersOf(scene, 'own')
  t.is((await workersOf(scene, 'own')).length, 3)
  process.kill(first?.pid ?? 0, 'SIGKILL')
  await scene.until('it is replaced', async () => {
    const workers = await workersOf(scene, 'own')
    return workers.length === 3 && workers.every(({ pid, ready }) => ready && pid !== first?.pid)
  })
  const given = await cli(scene, ['start', '--name', 'given', '--workers', '1', 'app.mjs'])
  t.is(given.code, 0, given.stderr)
  t.is((await workersOf(scene, 'given')).length, 1)
  await scene.until('it says so', () =>
    /daemonize\(\) was given for .*workers.* is overridden/.test(scene.read('state/given.log')),
  )
})

for (const [what, script, isPlain] of [
  ['listens on a port that was given for it', fixture('scripts/listens-twice', 'cjs'), true],
  ['calls daemonize() with sockets of its own', fixture('scripts/serves-its-own-sockets'), false],
] as const) {
  test(`workers of a script that ${what} share one socket, and a reload drops nothing`, async t => {
    const scene = new Scene(t)
    const port = await freePort()
    const listen = isPlain ? ['--listen', `127.0.0.1:${port}`] : []
    const start = await cli(scene, ['start', '--name', 'web', '--workers', '2', ...listen, script, String(port)])
    t.is(start.code, 0, start.stderr)
    const [address] = Object.values((await status(scene.path('run/web.pid'))).addresses)
    const ask = async () =>
      Number(await (await fetch(`http://${address}`, { headers: { connection: 'close' } })).text())
    const before = (await status(scene.path('run/web.pid'))).workers.map(({ pid }) => pid)
    t.true(before.includes(await ask()))
    let isOver = false
    const answers: number[] = []
    const load = (async () => {
      while (!isOver) answers.push(await ask())
    })()
    const { code, stderr } = await cli(scene, ['reload', 'web'])
    isOver = true
    await load
    t.is(code, 0, stderr)
    const after = (await status(scene.path('run/web.pid'))).workers.map(({ pid }) => pid)
    t.false(before.includes(await ask()))
    t.true(
      answers.every(pid => before.includes(pid) || after.includes(pid)),
      `${answers}`,
    )
  })
}

test('--monitor restarts what is killed, and status counts it', async t => {
  const scene = new Scene(t)
  await started(scene, 'web', ['--monitor'])
  const worker = await workerOf(scene, 'web')
  process.kill(worker, 'SIGKILL')
  await scene.until('its successor is ready', async () => {
    const [now] = await workersOf(scene, 'web')
    return now?.ready && now.pid !== worker && now.restarts === 1
  })
  t.pass()
})

test('any program becomes a daemon', async t => {
  const scene = new Scene(t)
  const { code, stdout, stderr } = await cli(scene, [
    'start',
    '--',
    'sh',
    '-c',
    'echo "$0 $*"; exec sleep 1000',
    'a b',
    '-c',
  ])
  t.is(code, 0, stderr)
  t.regex(stdout, /^sh: running as pid \d+/)
  t.deepEqual(ownLines(scene, 'state/sh.log'), ['a b -c'])
  t.is((await cli(scene, ['stop', 'sh'])).code, 0)
  const ended = await cli(scene, ['start', '--', 'sh', '-c', 'echo no >&2; exit 12'])
  t.is(ended.code, 12)
  t.regex(ended.stderr, /^sh: .*exited with 12 before it was ready/)
})

test('run stays in the foreground with our streams, passes a stop on, and is seen by status', async t => {
  const scene = new Scene(t)
  place(scene, 'stays', 'app.mjs')
  const child = spawnCli(scene, ['run', 'app.mjs'])
  let text = ''
  child.stdout?.setEncoding('utf8').on('data', chunk => (text += chunk))
  const end = finished(child)
  await scene.until('it is up', () => text.includes('up '))
  await scene.until('it is ready', async () => (await cli(scene, ['status', 'app'])).stdout.includes('running'))
  t.regex((await cli(scene, ['status'])).stdout, new RegExp(`^app +${child.pid} +running`, 'm'))
  child.kill()
  t.is((await end).code, 0)
  t.false(scene.exists('run/app.pid'))
})

test('a second run of a name goes on without a pid file, and says so', async t => {
  const scene = new Scene(t)
  const first = await started(scene, 'web')
  const child = spawnCli(scene, ['run', 'web.mjs'])
  let [text, notes] = ['', '']
  child.stdout?.setEncoding('utf8').on('data', chunk => (text += chunk))
  child.stderr?.setEncoding('utf8').on('data', chunk => (notes += chunk))
  const end = finished(child)
  await scene.until('it listens', () => text.includes('listening'))
  t.regex(notes, new RegExp(`^web: not shown by \`daemonic status\`: already running as pid ${first}`))
  child.kill()
  t.is((await end).code, 0)
  t.is((await cli(scene, ['status', 'web'])).code, 0)
})

withNamespaces('start as a container’s first process says run', async t => {
  const scene = new Scene(t)
  place(scene, 'stays', 'app.mjs')
  const args = ['--pid', '--fork', '--mount-proc', process.execPath, CLI, 'start', 'app.mjs']
  const { code, stderr } = await scene.run('unshare', args, { env: cliEnvironment(scene) })
  t.is(code, 2)
  t.regex(stderr, /a container ends with its first process: use `daemonic run`/)
})

test('run ends with the program’s code; what can’t be run is 127, a wrong option 2', async t => {
  const scene = new Scene(t)
  place(scene, 'prints-and-exits', 'app.mjs')
  const { code, stdout, stderr } = await cli(scene, ['run', 'app.mjs'])
  t.is(code, 7, stderr)
  t.regex(stdout, /^out$/m)
  t.regex(stderr, /^err$/m)
  const missing = await cli(scene, ['run', 'missing.mjs'])
  t.is(missing.code, 127)
  t.regex(missing.stderr, /^missing: cannot execute/)
  t.is((await cli(scene, ['run', '--nice', '99', 'missing.mjs'])).code, 2)
})

withPython('run on a terminal ends by Ctrl-C', async t => {
  const scene = new Scene(t)
  place(scene, 'stays', 'app.mjs')
  const { code, stdout } = await cliOnTerminal(scene, ['run', 'app.mjs'], { dialog: [['up', '\x03']] })
  t.true(code === 0 || code === 130, `${code}: ${stdout}`)
})

test('run with --pid-file can be asked and stopped by the command', async t => {
  const scene = new Scene(t)
  place(scene, 'stays', 'app.mjs')
  const child = spawnCli(scene, ['run', '--pid-file', 'app.pid', 'app.mjs'])
  const end = finished(child)
  await scene.until('it has its file', () => scene.exists('run/app.pid'))
  t.is((await cli(scene, ['status', 'app'])).code, 0)
  t.is((await cli(scene, ['stop', 'app'])).code, 0)
  t.is((await end).code, 0)
})
