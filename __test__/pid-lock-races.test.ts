// Many at once, deaths at any moment, and files that change under their owner.
import { lstatSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import test from 'ava'
import { PidLock, stop } from 'daemonic'
import { locks, owner } from './support/locks.js'
import { launchProbe } from './support/probe.js'
import { startProgram } from './support/program.js'
import { Scene } from './support/scene.js'
import { soak } from './support/soak.js'

const STARTERS = 40
const ROUNDS = 4
/** SOAK_KILLS=1000 for a long one. */
const KILLS = Number(process.env.SOAK_KILLS ?? 60)
/** Milliseconds for each, and a start of the next, on a slow machine. */
const A_KILL = 2_000

const DAEMON = locks('stays')
const OVERWRITING = locks('stays', { pidFile: { path: './d.pid', overwrite: true } })

test('of forty starters at once one succeeds, and the others say who it is', async t => {
  const scene = new Scene(t)
  const options = { name: 'd', pidFile: scene.path('d.pid') }
  const results = await Promise.all(Array.from({ length: STARTERS }, () => launchProbe(scene, options)))
  const { state, pid, verified } = PidLock.inspect(options.pidFile)
  t.like({ state, verified }, { state: 'running', verified: true })
  const failed = results.filter(({ code }) => code !== 0)
  t.is(failed.length, STARTERS - 1)
  const says = new RegExp(`^d: (already running as pid ${pid}|another start is under way) \\(.*/d\\.pid\\)\n$`)
  t.deepEqual(
    failed.filter(({ code, stderr }) => code !== 1 || !says.test(stderr)),
    [],
  )
  t.deepEqual(scene.processes(), [pid])
})

test('so it is where a killed daemon has left its file, time after time', async t => {
  const scene = new Scene(t)
  for (let round = 0; round < ROUNDS; round++) {
    const results = await Promise.all(Array.from({ length: STARTERS / ROUNDS }, () => scene.node(DAEMON)))
    t.is(results.filter(({ code }) => code === 0).length, 1)
    const pid = Number(scene.read('d.pid'))
    t.deepEqual(scene.processes(), [pid])
    process.kill(pid, 'SIGKILL')
    await scene.empty()
  }
})

test('contenders that are killed at random never have the file at once, nor leave it locked', async t => {
  t.timeout(60_000 + KILLS * A_KILL)
  const scene = new Scene(t)
  const start = (args: string[]) =>
    scene.spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'], env: { NODE_OPTIONS: undefined } })
  const result = await soak({ directory: scene.directory, kills: KILLS, start })
  t.log(result)
  t.deepEqual(result.faults, [])
  t.true(result.kills >= KILLS)
  t.true(result.acquisitions > KILLS)
  t.deepEqual(scene.files(), [])
})

for (const [what, change] of [
  ['removed', (path: string) => rmSync(path)],
  ['renamed', (path: string) => renameSync(path, `${path}.old`)],
  [
    'replaced',
    (path: string) => {
      writeFileSync(`${path}.new`, '1\n')
      renameSync(`${path}.new`, path)
    },
  ],
] as const) {
  test(`a file that is ${what} under its owner can be taken, and is its new owner’s alone`, async t => {
    const scene = new Scene(t)
    const first = await owner(scene, locks('releasesOnUsr2'))
    await scene.until('it listens to the signal', () => scene.exists('armed'))
    change(scene.path('d.pid'))
    using lock = PidLock.acquire(scene.path('d.pid'))
    first.kill('SIGUSR2')
    await scene.until(
      'the first has released its own',
      () => scene.exists('intact') && /\n.*\n/.test(scene.read('intact')),
    )
    t.is(scene.read('intact'), 'false\nfalse\n')
    t.true(lock.isIntact())
    t.is(scene.read('d.pid'), `${process.pid}\n`)
    t.is(PidLock.inspect(lock.path).state, 'running')
  })
}

test('a start that overwrites takes a new file, warns of whose it was, and leaves that one alone', async t => {
  const scene = new Scene(t)
  const first = await startProgram(scene, DAEMON)
  const { ino } = lstatSync(scene.path('d.pid'))
  const { code, stderr } = await scene.node(OVERWRITING)
  t.is(code, 0)
  t.is(stderr, `d: warning: taking over ${scene.path('d.pid')} from pid ${first}, which goes on\n`)
  const second = Number(scene.read('d.pid'))
  t.not(lstatSync(scene.path('d.pid')).ino, ino)
  t.deepEqual(scene.processes().sort(), [first, second].sort())
  t.deepEqual(PidLock.inspect(scene.path('d.pid')), { state: 'running', pid: second, verified: true })
  process.kill(first, 'SIGTERM')
  await scene.until('the first has ended', () => !scene.processes().includes(first))
  t.deepEqual(scene.files(), ['d.json', 'd.pid'])
  t.deepEqual(PidLock.inspect(scene.path('d.pid')), { state: 'running', pid: second, verified: true })
  t.is((await stop(scene.path('d.pid'))).pid, second)
  t.deepEqual(scene.files(), [])
})

test('it says nothing where there is nobody to take the file from', async t => {
  const scene = new Scene(t)
  for (const text of [null, '4194305\n']) {
    if (text !== null) scene.write('d.pid', text)
    const { code, stderr } = await scene.node(OVERWRITING)
    t.deepEqual({ code, stderr }, { code: 0, stderr: '' })
    t.is((await stop(scene.path('d.pid'))).wasRunning, true)
  }
})

test('one that has overwritten a file is itself refused and overwritten as any other', async t => {
  const scene = new Scene(t)
  const first = await startProgram(scene, DAEMON)
  const second = await startProgram(scene, OVERWRITING)
  const { code, stderr } = await scene.node(DAEMON)
  t.is(code, 1)
  t.is(stderr, `d: already running as pid ${second} (${scene.path('d.pid')})\n`)
  const third = await startProgram(scene, OVERWRITING)
  t.deepEqual(scene.processes().sort(), [first, second, third].sort())
})

test('one that fails to start leaves the other process alone, and no file of its own', async t => {
  const scene = new Scene(t)
  const first = await owner(scene)
  const { code } = await scene.node(locks('ends', { pidFile: { path: './d.pid', overwrite: true } }, { exits: 3 }))
  t.is(code, 3)
  t.deepEqual(scene.processes(), [first.pid ?? 0])
  // The first one's file may have lost its name: that is what overwriting gives up.
  t.deepEqual(
    scene.files().filter(file => file !== 'd.pid'),
    [],
  )
})
