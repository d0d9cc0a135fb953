// The `signals` option under a supervisor, and the foreground with one: as without it.
import { readFileSync } from 'node:fs'
import test from 'ava'
import { PidLock, processInfo } from 'daemonic'
import { become, inline } from './support/inline.js'
import { Scene } from './support/scene.js'
import { childrenOf, foregroundSupervised, Supervisor, startSupervised } from './support/supervised.js'

const got = (scene: Scene) => (scene.exists('got') ? scene.read('got').trimEnd().split('\n').sort() : [])

/** A program of two workers that maps signals to functions. */
const MAPPING = (signal: string) => `const daemon = become({ workers: 2, signals: {
  ${signal}: signal => tell('got', signal + ' ' + daemon.worker)
} })
setInterval(() => {}, 1_000_000)`

for (const signal of ['SIGHUP', 'SIGUSR1', 'SIGUSR2', 'SIGTTIN', 'SIGTTOU', 'SIGINT', 'SIGQUIT', 'SIGPWR'] as const) {
  test(`${signal} reaches every worker where the program maps it`, async t => {
    const scene = new Scene(t)
    t.is((await scene.node(inline(scene, MAPPING(signal)))).code, 0)
    const supervisor = new Supervisor(scene, Number(scene.read('d.pid')))
    const before = await supervisor.pids(2)
    supervisor.signal(signal)
    await scene.until('both have it', () => got(scene).length === 2)
    t.deepEqual(got(scene), [`${signal} 0`, `${signal} 1`])
    t.deepEqual(await supervisor.pids(2), before)
    if (signal === 'SIGPWR') return
    await supervisor.logged(new RegExp(`info: passed on to the program, which maps them: ${signal}\n`))
    t.is((await supervisor.ask({ do: 'reload' })).ok, true)
    await supervisor.pids(2, before)
  })
}

test('a signal that the program ignores stops nothing', async t => {
  const scene = new Scene(t)
  const { supervisor, end } = await foregroundSupervised(scene, { workers: 2, signals: { SIGINT: 'ignore' } })
  supervisor.signal('SIGINT')
  const before = await supervisor.pids(2)
  supervisor.signal('SIGHUP')
  await supervisor.pids(2, before)
  supervisor.signal('SIGTERM')
  t.is((await end).code, 0)
})

test('a word is the supervisor’s to carry out, at whatever signal', async t => {
  const scene = new Scene(t)
  const supervisor = await startSupervised(scene, { workers: 2, signals: { SIGUSR2: 'reload', SIGALRM: 'stop' } })
  const before = await supervisor.pids(2)
  supervisor.signal('SIGUSR2')
  await supervisor.pids(2, before)
  supervisor.signal('SIGALRM')
  await scene.empty()
  t.regex(supervisor.log, /stopping on SIGALRM\n/)
})

test('HUP mapped to the reload hooks runs them in every worker, and replaces none', async t => {
  const scene = new Scene(t)
  const supervisor = await startSupervised(
    scene,
    become(
      scene,
      { workers: 2, signals: { SIGHUP: 'reload-hooks' } },
      `daemon.onReload(() => tell('got', 'reload ' + daemon.worker))`,
    ),
  )
  const before = await supervisor.pids(2)
  supervisor.signal('SIGHUP')
  await scene.until('both have reloaded', () => got(scene).length === 2)
  t.deepEqual(got(scene), ['reload 0', 'reload 1'])
  t.deepEqual(await supervisor.pids(2), before)
})

test('hooks of a reload that will never run are told of', async t => {
  const scene = new Scene(t)
  const supervisor = await startSupervised(
    scene,
    become(scene, { monitor: true }, 'daemon.onReload(() => {}); daemon.onReload(() => {})'),
  )
  await supervisor.logged(/info: onReload\(\): .*'reload-hooks'\n/)
  t.is(supervisor.log.match(/onReload/g)?.length, 1)
})

test('in the foreground a supervised program stays where it is, and says that it does not detach', async t => {
  const scene = new Scene(t)
  await foregroundSupervised(
    scene,
    become(scene, { monitor: true }, `tell('got', process.cwd() + ' ' + daemon.detached)`),
  )
  t.deepEqual(got(scene), [`${scene.directory} false`])
})

test('on a terminal ^Z stops supervisor and worker, and both go on when they are continued', async t => {
  const scene = new Scene(t)
  if ((await scene.run('sh', ['-c', 'command -v script'])).code !== 0) {
    t.pass('skipped: there is no script(1) to make a terminal with')
    return
  }
  const [path = ''] = become(scene, { monitor: true })
  // Job control puts it in a group of its own, without which the kernel would not stop it: setpgid(2).
  const command = `set -m; '${process.execPath}' '${path}' & while :; do wait; done`
  const env = { SHELL: '/bin/sh' }
  scene.spawn('script', ['-qec', command, '/dev/null'], { detach: 'false', env, stdio: ['pipe', 'ignore', 'ignore'] })
  const pid = await scene.until('it runs', () => {
    const { state, pid } = scene.exists('d.pid') ? PidLock.inspect(scene.path('d.pid')) : { state: 'absent', pid: null }
    return state === 'running' && pid
  })
  const [worker = 0] = childrenOf(pid)
  const are = (letter: string) =>
    [pid, worker].every(each =>
      new RegExp(`^State:\\s+${letter}`, 'm').test(readFileSync(`/proc/${each}/status`, 'utf8')),
    )
  process.kill(-processInfo(pid).pgid, 'SIGTSTP')
  await scene.until('both are stopped', () => are('T'))
  process.kill(-processInfo(pid).pgid, 'SIGCONT')
  await scene.until('both go on', () => are('S'))
  process.kill(pid, 'SIGTERM')
  await scene.until('it has ended', () => !scene.processes().includes(pid))
  t.false(scene.exists('d.pid'))
})
