// Signals to the native supervisor, and to those around it.
import { renameSync } from 'node:fs'
import test from 'ava'
import { processInfo } from 'daemonic'
import { finished, Scene } from './support/scene.js'
import {
  childrenOf,
  foregroundSupervised,
  isAlive,
  Supervisor,
  startSupervised,
  supervised,
} from './support/supervised.js'

for (const signal of ['SIGTERM', 'SIGINT', 'SIGQUIT'] as const) {
  test(`${signal} lets every worker end in its own time, then ends the supervisor with 0`, async t => {
    const scene = new Scene(t)
    const { supervisor, end } = await foregroundSupervised(scene, supervised('takesItsTimeToStop', { workers: 2 }))
    supervisor.signal(signal)
    const { code, stderr } = await end
    t.is(code, 0)
    t.is(scene.read('stopped'), `${signal}\n${signal}\ndone\ndone\n`)
    t.regex(stderr, new RegExp(`info: stopping on ${signal}\n`))
    t.deepEqual(scene.files(), ['stopped'])
  })
}

test('a signal to the groups of supervisor and workers counts once', async t => {
  const scene = new Scene(t)
  // setsid(1) becomes the program: a session, and a group, of its own.
  const argv = [process.execPath, ...supervised('takesItsTimeToStop', { workers: 2 })]
  const child = scene.spawn('setsid', argv, { detach: 'false' })
  const end = finished(child)
  const supervisor = new Supervisor(scene, child.pid ?? 0)
  const workers = await supervisor.pids(2)
  t.deepEqual(
    workers.map(pid => processInfo(pid).pgid),
    workers,
  )
  const stopped = () => (scene.exists('stopped') ? scene.read('stopped') : '')
  for (const group of [supervisor.pid, ...workers]) process.kill(-group, 'SIGINT')
  await scene.until('both are stopping', () => stopped().length > 12)
  const { code, stderr } = await end
  t.is(code, 0, stderr)
  t.is(stopped(), 'SIGINT\nSIGINT\ndone\ndone\n')
})

for (const [first, second, code] of [
  ['SIGTERM', 'SIGINT', 130],
  ['SIGINT', 'SIGQUIT', 131],
  ['SIGINT', 'SIGTERM', 143],
] as const) {
  test(`${second} after ${first} ends supervisor and workers at once, with ${code}`, async t => {
    const scene = new Scene(t)
    const stubborn = supervised('ignoresWhatItCan', { workers: 2, stopTimeout: 600_000 })
    const { supervisor, child, end } = await foregroundSupervised(scene, stubborn)
    const workers = await supervisor.pids(2)
    let said = ''
    child.stderr?.on('data', chunk => (said += chunk))
    supervisor.signal(first)
    await scene.until('it stops', () => said.includes(`stopping on ${first}`))
    t.true(workers.every(isAlive))
    supervisor.signal(second)
    t.is((await end).code, code)
    t.false(workers.some(isAlive))
    t.deepEqual(scene.files(), [])
  })
}

test('one signal that comes again later is a second one', async t => {
  const scene = new Scene(t)
  const stubborn = supervised('ignoresWhatItCan', { workers: 2, stopTimeout: 600_000 })
  const { supervisor, end } = await foregroundSupervised(scene, stubborn)
  const workers = await supervisor.pids(2)
  const isOver = end.then(() => true)
  await scene.until('it has ended', async () => {
    if (isAlive(supervisor.pid)) supervisor.signal('SIGINT')
    return Promise.race([isOver, Promise.resolve(false)])
  })
  t.is((await end).code, 130)
  t.false(workers.some(isAlive))
})

test('HUP reopens the logs, then replaces each worker by one that is ready', async t => {
  const scene = new Scene(t)
  const supervisor = await startSupervised(scene, supervised('takesItsTimeToStop', { workers: 2 }))
  const before = await supervisor.pids(2)
  renameSync(scene.path('d.log'), scene.path('old.log'))
  supervisor.signal('SIGHUP')
  const after = await supervisor.pids(2, before)
  t.deepEqual(supervisor.children().sort(), after.toSorted())
  t.deepEqual(scene.read('stopped').trim().split('\n').sort(), ['done', 'done', 'null', 'null'])
  await supervisor.logged(/info: reloaded\n/)
  t.regex(scene.read('old.log'), /info: reloading\n$/)
})

test('USR1 makes supervisor and workers write to a new log where the old one was moved, and disturbs nobody', async t => {
  const scene = new Scene(t)
  const supervisor = await startSupervised(scene, supervised('printsLines', { workers: 2 }))
  const before = await supervisor.pids(2)
  await supervisor.logged(/line 3/)
  renameSync(scene.path('d.log'), scene.path('old.log'))
  supervisor.signal('SIGUSR1')
  const lines = (pattern: RegExp) => (scene.exists('d.log') ? scene.read('d.log').match(pattern) : null)
  await scene.until('both write to it', () => (lines(/^line \d+ of \d+$/gm)?.length ?? 0) > 20)
  supervisor.signal('SIGTTIN')
  await supervisor.logged(/info: 3 workers instead of 2\n/)
  t.deepEqual((await supervisor.pids(3)).slice(0, 2), before)
  t.false(scene.exists('usr1'))
  // Of each, the numbers go on from file to file: none is lost or doubled.
  process.kill(supervisor.pid, 'SIGKILL')
  await scene.empty()
  const numbers = [...`${scene.read('old.log')}${scene.read('d.log')}`.matchAll(/^line (\d+) of \d+$/gm)].map(
    ([, n]) => n,
  )
  const times = new Map<string | undefined, number>()
  for (const n of numbers) times.set(n, (times.get(n) ?? 0) + 1)
  t.true([...times.values()].every(count => count <= 3))
  t.true((times.get('3') ?? 0) >= 2 && (times.get('5') ?? 0) >= 2)
})

test('what else it gets is passed on to the workers', async t => {
  const scene = new Scene(t)
  const supervisor = await startSupervised(scene, supervised('tellsSignal', { workers: 2 }, 'SIGWINCH'))
  supervisor.signal('SIGWINCH')
  const got = () => (scene.exists('got') ? scene.read('got').split('\n').sort().join('') : '')
  await scene.until('both have it', () => got() === '01')
  t.is((await supervisor.pids(2)).length, 2)
})

test('but not to one that is starting and would die of it: that gets it when it is ready', async t => {
  const scene = new Scene(t)
  const slow = supervised('bootsSlowlyWhere', 'slow', { monitor: true, ready: 'manual' })
  const supervisor = await startSupervised(scene, slow)
  const worker = await supervisor.worker()
  scene.write('slow', '')
  process.kill(worker, 'SIGKILL')
  const successor = await scene.until('the next one boots', () => scene.exists('booting') && scene.read('booting'))
  supervisor.signal('SIGALRM')
  supervisor.signal('SIGALRM')
  await scene.until('it has taken them', () => childrenOf(supervisor.pid).length === 1)
  await supervisor.status()
  scene.write('go', '')
  await scene.until('it has it', () => scene.exists('got') && scene.read('got').startsWith(successor))
  t.is(await supervisor.worker([worker]), Number(successor))
})
