// The ends of the processes that a start is made of, and forks that fail.
import { setTimeout as delay } from 'node:timers/promises'
import test, { type ExecutionContext } from 'ava'
import { PidLock } from 'daemonic'
import { program, runProgram } from './support/program.js'
import { asRoot } from './support/root.js'
import { finished, Scene } from './support/scene.js'

/** How often a race is tried. */
const ROUNDS = 15
/** Milliseconds from a program's start until the daemon has booted, and some more. */
const A_START = 150

const BECOME = `const options = { name: 'd', pidFile: './d.pid', listen: { web: './d.sock' }, ready: 'manual' }
const become = more => daemonize({ ...options, ...more })
`
/** A daemon that is never ready; once it has booted, it tells its session, whose leader is the middle. */
const UNREADY = `${BECOME}become(); tell('session', String(daemonic.processInfo().sid)); setInterval(() => {}, 1_000_000)`

/** A launcher whose daemon has booted and is not ready. */
async function unready(scene: Scene, text = UNREADY) {
  const launcher = scene.spawn(process.execPath, [program(scene, text)])
  const end = finished(launcher)
  const middle = await scene.until('the daemon has booted', () => scene.exists('session') && scene.read('session'))
  return { launcher, end, middle: Number(middle) }
}

async function leavesNothing(t: ExecutionContext, scene: Scene, ...but: string[]): Promise<void> {
  await scene.empty()
  t.deepEqual(scene.files(), ['program.mjs', 'session', ...but].sort())
}

for (const signal of ['SIGKILL', 'SIGHUP', 'SIGINT', 'SIGTERM', 'SIGQUIT'] as const) {
  test(`a launcher that ${signal} ends takes the daemon that is not ready with it`, async t => {
    const scene = new Scene(t)
    const { launcher, end } = await unready(scene)
    launcher.kill(signal)
    t.is((await end).signal, signal)
    await leavesNothing(t, scene)
  })
}

for (const signal of ['SIGKILL', 'SIGHUP'] as const) {
  test(`at whatever moment ${signal} ends the launcher, nobody holds the lock and the next start succeeds`, async t => {
    const scene = new Scene(t)
    const path = program(scene, UNREADY)
    for (let round = 0; round < ROUNDS; round++) {
      const launcher = scene.spawn(process.execPath, [path])
      const end = finished(launcher)
      // From the launcher's start, or from the moment when there is a lock.
      if (round % 2) await scene.until('the pid file is there', () => scene.exists('d.pid'))
      await delay((Math.random() * A_START) / (round % 2 ? 3 : 1))
      launcher.kill(signal)
      t.is((await end).signal, signal)
      await scene.empty()
      // A launcher that is killed before its first fork has nobody to tidy up after it.
      t.true(['absent', 'free'].includes(PidLock.inspect(scene.path('d.pid')).state))
      const left = scene.files().filter(file => !['program.mjs', 'session', 'd.pid', 'd.sock'].includes(file))
      t.deepEqual(left, [])
    }
    t.is((await runProgram(scene, `${BECOME}become().ready(); setInterval(() => {}, 1_000_000)`)).code, 0)
    t.is(PidLock.inspect(scene.path('d.pid')).state, 'running')
  })
}

test('a launcher that listens to SIGINT itself gets a StartError, and then its signal', async t => {
  const scene = new Scene(t)
  const text = `${BECOME}
process.on('SIGINT', () => { tell('events', 'heard'); process.exit(9) })
try { become() } catch ({ name, code, signal, exitCode, message }) {
  tell('events', JSON.stringify({ name, code, signal, exitCode, message }))
  setInterval(() => {}, 1_000_000) // goes on until the listener ends it
}
tell('session', String(daemonic.processInfo().sid)); setInterval(() => {}, 1_000_000)`
  const { launcher, end } = await unready(scene, text)
  launcher.kill('SIGINT')
  t.is((await end).code, 9)
  const [error = '', heard] = scene.read('events').split('\n')
  t.deepEqual(JSON.parse(error), {
    name: 'StartError',
    code: 'ERR_DAEMON_START',
    signal: 'SIGINT',
    exitCode: 130,
    message: 'd: the start was interrupted by SIGINT',
  })
  t.is(heard, 'heard')
  await leavesNothing(t, scene, 'events')
})

for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
  test(`a process between launcher and daemon that ${signal} ends takes the start with it`, async t => {
    const scene = new Scene(t)
    const { end, middle } = await unready(scene)
    process.kill(middle, signal)
    const { code, stderr } = await end
    t.deepEqual(scene.processes(), [])
    t.is(stderr, 'd: the process between launcher and daemon was killed, and the daemon with it\n')
    t.is(code, 1)
    await leavesNothing(t, scene)
  })
}

test('a daemon that is killed before it is ready fails the start', async t => {
  const scene = new Scene(t)
  const { end, middle } = await unready(scene)
  const pid = scene.processes().find(each => each !== middle && readPid(scene) === each)
  process.kill(pid ?? 0, 'SIGKILL')
  const { code, stderr } = await end
  t.deepEqual(scene.processes(), [])
  t.is(stderr, 'd: the daemon was killed by SIGKILL before it was ready\n')
  t.is(code, 137)
  await leavesNothing(t, scene)
})

test('a launcher that is killed while the daemon gets ready leaves a daemon that runs, or nothing', async t => {
  const scene = new Scene(t)
  const text = `${BECOME}const daemon = become(); tell('session', 'x'); setTimeout(() => daemon.ready(), 5); setInterval(() => {}, 1_000_000)`
  const path = program(scene, text)
  for (let round = 0; round < ROUNDS; round++) {
    const launcher = scene.spawn(process.execPath, [path])
    const end = finished(launcher)
    await scene.until('the daemon is about to be ready', () => scene.exists('session'))
    await delay(Math.random() * 12)
    launcher.kill('SIGKILL')
    await end
    const state = await scene.until('it has settled', () => {
      const { state, pid } = PidLock.inspect(scene.path('d.pid'))
      const processes = scene.processes()
      if (processes.length === 0) return 'gone'
      return state === 'running' && processes.length === 1 && processes[0] === pid && 'running'
    })
    if (state === 'running') {
      const pid = readPid(scene)
      t.is(PidLock.inspect(scene.path('d.pid')).pid, pid)
      process.kill(pid, 'SIGKILL')
      await scene.empty()
    } else {
      t.deepEqual(scene.files(), ['program.mjs', 'session'])
    }
    scene.remove('session')
  }
})

test('a daemon that is ready lives on without its launcher', async t => {
  const scene = new Scene(t)
  const text = `${BECOME}const daemon = become(); daemon.ready(); setInterval(() => tell('beat', 'x'), 10)`
  const { code } = await runProgram(scene, text)
  t.is(code, 0)
  const beats = () => (scene.exists('beat') ? scene.read('beat').length : 0)
  const before = beats()
  await scene.until('it does something after its launcher has ended', () => beats() > before + 4)
  t.deepEqual(scene.processes(), [readPid(scene)])
})

const FORKS = [
  { step: 'first fork', uid: 61_001, more: 0 },
  { step: 'second fork', uid: 61_002, more: 1 },
]

for (const { step, uid, more } of FORKS) {
  asRoot(`a ${step} that the system refuses is tried several times, then fails the start`, async t => {
    const scene = new Scene(t)
    scene.giveTo(uid)
    // The limit counts a user's threads; this user has those of the launcher alone.
    const text = `${BECOME}
const threads = fs.readdirSync('/proc/self/task').length + ${more}
if (!process.env.DAEMONIC_START) (await import('node:child_process')).execFileSync('prlimit', ['--pid', process.pid, '--nproc=' + threads])
become()`
    const path = program(scene, text)
    const { code, stderr } = await scene.node(path, { uid, gid: uid })
    t.deepEqual(scene.processes(), [])
    t.is(stderr, `cannot fork (${step}): EAGAIN, resource temporarily unavailable; tried 5 times\n`)
    t.is(code, 1)
    t.deepEqual(scene.files(), ['program.mjs'])
  })
}

function readPid(scene: Scene): number {
  return Number(scene.read('d.pid'))
}
