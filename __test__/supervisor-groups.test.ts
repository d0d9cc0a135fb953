// What a worker has started ends with it: the rest of its process group, and after a failed start everything.
import test from 'ava'
import { type LaunchOptions, processInfo, stop } from 'daemonic'
import { cli, spawnCli } from './support/cli.js'
import { launchOnce, launched as programs } from './support/launching.js'
import { freePort, greeting } from './support/listening.js'
import { withPython } from './support/locks.js'
import { finished, Scene, script } from './support/scene.js'
import { isAlive, Supervisor, startSupervised, supervised } from './support/supervised.js'

/** Starts a shell script in the scene's directory. */
async function startShell(scene: Scene, text: string, options: LaunchOptions = {}): Promise<Supervisor> {
  const { error, pid = 0 } = await launchShell(scene, text, options)
  if (error) throw new Error(JSON.stringify(error))
  return new Supervisor(scene, pid)
}

function launchShell(scene: Scene, text: string, options: LaunchOptions = {}) {
  const path = scene.write('d.sh', `cd '${scene.directory}'\n${text}\n`)
  return launchOnce(scene, [path], { name: 'd', interpreter: '/bin/sh', log: './d.log', ...options })
}

/** The pid that the program has written to a file. */
const pidIn = (scene: Scene, file: string) => Number(scene.read(file).trim())

test('a wrapper that is told to stop leaves nothing, and the stop waits for that', async t => {
  const scene = new Scene(t)
  await startShell(
    scene,
    `sh -c 'trap "sleep 0.3; echo over > over; exit" TERM; echo $$ > child; while :; do sleep 0.1; done'`,
  )
  const child = pidIn(scene, 'child')
  t.true(isAlive(child))
  t.false((await stop(scene.path('d.pid'))).forced)
  t.false(isAlive(child))
  t.is(scene.read('over'), 'over\n', 'SIGTERM reached it')
})

test('what doesn’t end is killed within stopTimeout', async t => {
  const scene = new Scene(t)
  await startShell(scene, `sh -c 'trap "" TERM; echo $$ > child; while :; do sleep 0.1; done' & wait`, {
    stopTimeout: 500,
  })
  const child = await scene.until('the child runs', () => scene.exists('child') && pidIn(scene, 'child'))
  await stop(scene.path('d.pid'))
  t.false(isAlive(child))
  t.regex(scene.read('d.log'), /processes that pid \d+ has left have not ended: killing them/)
})

withPython('a crashed master’s children end before its successor binds their port', async t => {
  const scene = new Scene(t)
  const port = await freePort()
  const master = [script('master.py'), `${port}`] as const
  const listen = { it: port }
  const { pid = 0, error } = await launchOnce(scene, master, {
    interpreter: null,
    monitor: true,
    ready: 'port',
    listen,
  })
  t.is(error, undefined)
  const supervisor = new Supervisor(scene, pid)
  const [first = 0, child = 0] = (await greeting({ port, host: '127.0.0.1' })).split(' ').map(Number)
  process.kill(first, 'SIGKILL')
  const second = await supervisor.worker([first])
  t.false(isAlive(child))
  t.is(Number((await greeting({ port, host: '127.0.0.1' })).split(' ')[0]), second)
  await stop(scene.path('d.pid'))
  await scene.empty()
})

test('a worker leads a process group in the supervisor’s session', async t => {
  const scene = new Scene(t)
  const supervisor = await startSupervised(scene, { monitor: true })
  const worker = await supervisor.worker()
  t.like(processInfo(worker), { pgid: worker, sid: processInfo(supervisor.pid).sid })
})

test('killTree: false leaves the group alone', async t => {
  const scene = new Scene(t)
  const supervisor = await startSupervised(scene, supervised('hasAChild', { monitor: { killTree: false } }))
  const worker = await supervisor.worker()
  const [child = 0] = scene.read('children').trim().split('\n').map(Number)
  process.kill(worker, 'SIGKILL')
  await supervisor.worker([worker])
  t.true(isAlive(child))
  await stop(scene.path('d.pid'))
  t.true(isAlive(child))
})

test('--no-kill-tree is the same for the command', async t => {
  const scene = new Scene(t)
  scene.write('d.sh', 'sleep 1000 & echo $! > child; wait')
  t.is((await cli(scene, ['start', '--no-kill-tree', '--', '/bin/sh', './d.sh'])).code, 0)
  t.is((await cli(scene, ['stop', 'sh'])).code, 0)
  t.true(isAlive(pidIn(scene, 'child')))
})

test('a process that has left the group goes on, and the log names it', async t => {
  const scene = new Scene(t)
  await startShell(scene, 'setsid sleep 1000 & echo $! > child; wait')
  const child = pidIn(scene, 'child')
  await stop(scene.path('d.pid'))
  t.true(isAlive(child))
  const told = new RegExp(`pid ${child} \\(sleep\\) has left the process group of its worker, and goes on running`, 'g')
  t.is(scene.read('d.log').match(told)?.length, 1)
})

// ── A failed start leaves nothing ────────────────────────────────────────────────────────

const ESCAPES = `setsid sh -c 'echo $$ > escaped; exec sleep 1000' &
until [ -s escaped ]; do sleep 0.01; done
sleep 1000 & echo $! > child`

for (const [how, text, options] of [
  ['that exits', `${ESCAPES}; exit 3`, {}],
  ['that isn’t ready in time', `${ESCAPES}; wait`, { ready: 'manual', startTimeout: 500 }],
] as const) {
  test(`a failed start ${how} ends what it has started, wherever that is`, async t => {
    const scene = new Scene(t)
    const { error } = await launchShell(scene, text, options)
    t.truthy(error)
    for (const file of ['escaped', 'child']) t.false(isAlive(pidIn(scene, file)), file)
    await scene.empty()
  })
}

test('so does a start that Ctrl-C ends', async t => {
  const scene = new Scene(t)
  scene.write('d.sh', `${ESCAPES}; wait`)
  const child = spawnCli(scene, ['start', '--ready', 'manual', '--', '/bin/sh', './d.sh'])
  const end = finished(child)
  await scene.until('it runs', () => scene.exists('child') && scene.read('child').endsWith('\n'))
  child.kill('SIGINT')
  t.is((await end).code, 130)
  await scene.empty()
  for (const file of ['escaped', 'child']) t.false(isAlive(pidIn(scene, file)), file)
})

test('so does that of a script without supervisor', async t => {
  const scene = new Scene(t)
  const { error } = await launchOnce(scene, programs('escapes'), { startTimeout: 1_500, ready: 'manual' })
  t.like(error, { code: 'ERR_DAEMON_START_TIMEOUT' })
  await scene.empty()
  t.false(isAlive(pidIn(scene, 'escaped')))
})
