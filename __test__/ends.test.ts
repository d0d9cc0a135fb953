// The ends of the processes that a start is made of, and forks that fail.
import { setTimeout as delay } from 'node:timers/promises'
import test, { type ExecutionContext } from 'ava'
import { PidLock } from 'daemonic'
import type { Programs } from './fixtures/starts.js'
import { asRoot } from './support/root.js'
import { finished, type Program, programs, type Result, Scene } from './support/scene.js'

const program = programs<Programs>('starts')

/** How often a race is tried. */
const ROUNDS = 15
/** Milliseconds from a program's start until the daemon has booted, and some more. */
const A_START = 150

/** A launcher whose daemon has booted, and told its session, but is not ready. */
async function unready(scene: Scene, booting: Program = program('isNeverReady')) {
  const launcher = scene.spawnNode(booting)
  const end = finished(launcher)
  const middle = await scene.until(
    'the daemon has booted',
    () => scene.exists('session') && /^\d+\n$/.exec(scene.read('session'))?.[0],
  )
  return { launcher, end, middle: Number(middle) }
}

async function leavesNothing(t: ExecutionContext, scene: Scene, ...but: string[]): Promise<void> {
  await scene.empty()
  t.deepEqual(scene.files(), ['session', ...but].sort())
}

async function hasFailed(t: ExecutionContext, scene: Scene, result: Result, code: number, says: string): Promise<void> {
  t.deepEqual(scene.processes(), [])
  t.is(result.stderr, `d: ${says}\n`)
  t.is(result.code, code)
  await leavesNothing(t, scene)
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
    for (let round = 0; round < ROUNDS; round++) {
      const launcher = scene.spawnNode(program('isNeverReady'))
      const end = finished(launcher)
      // From the launcher's start, or from the moment when there is a lock.
      if (round % 2) await scene.until('the pid file is there', () => scene.exists('d.pid'))
      await delay((Math.random() * A_START) / (round % 2 ? 3 : 1))
      launcher.kill(signal)
      t.is((await end).signal, signal)
      await scene.empty()
      // A launcher that is killed before its first fork has nobody to tidy up after it.
      t.true(['absent', 'free'].includes(PidLock.inspect(scene.path('d.pid')).state))
      const left = scene.files().filter(file => !['session', 'd.pid', 'd.sock'].includes(file))
      t.deepEqual(left, [])
    }
    t.is((await scene.node(program('isReadyAtOnce'))).code, 0)
    t.is(PidLock.inspect(scene.path('d.pid')).state, 'running')
  })
}

test('a launcher that listens to SIGINT itself gets a StartError, and then its signal', async t => {
  const scene = new Scene(t)
  const { launcher, end } = await unready(scene, program('catchesAnInterruptedStart'))
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
    await hasFailed(
      t,
      scene,
      await end,
      1,
      'the process between launcher and daemon was killed, and the daemon with it',
    )
  })
}

test('a daemon that is killed before it is ready fails the start', async t => {
  const scene = new Scene(t)
  const { end, middle } = await unready(scene)
  const pid = scene.processes().find(each => each !== middle && readPid(scene) === each)
  process.kill(pid ?? 0, 'SIGKILL')
  await hasFailed(t, scene, await end, 137, 'the daemon was killed by SIGKILL before it was ready')
})

test('a launcher that is killed while the daemon gets ready leaves a daemon that runs, or nothing', async t => {
  const scene = new Scene(t)
  for (let round = 0; round < ROUNDS; round++) {
    const launcher = scene.spawnNode(program('isReadySoon'))
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
      t.deepEqual(scene.files(), ['session'])
    }
    scene.remove('session')
  }
})

test('a daemon that is ready lives on without its launcher', async t => {
  const scene = new Scene(t)
  const { code } = await scene.node(program('isReadyAndBeats'))
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
    const { code, stderr } = await scene.node(program('mayForkOnly', more), { uid, gid: uid })
    t.deepEqual(scene.processes(), [])
    t.is(stderr, `cannot fork (${step}): EAGAIN, resource temporarily unavailable; tried 5 times\n`)
    t.is(code, 1)
    t.deepEqual(scene.files(), [])
  })
}

function readPid(scene: Scene): number {
  return Number(scene.read('d.pid'))
}
