// Who a supervised program is at each of its starts: a script that its own user can write gains nothing by that.
import { execFileSync } from 'node:child_process'
import { chmodSync, chownSync, mkdirSync, readFileSync, statSync } from 'node:fs'
import { getPriority } from 'node:os'
import type { DaemonizeOptions } from 'daemonic'
import { ROOT } from './support/checkout.js'
import { cli, workerOf } from './support/cli.js'
import { ofAllThreads } from './support/identity.js'
import { asRoot, NOBODY } from './support/locks.js'
import { LIBRARY } from './support/program.js'
import { Scene } from './support/scene.js'

/** What each run of the application's first line leaves: its user, group and supplementary groups. */
const TELLS = `import { appendFileSync } from 'node:fs'
appendFileSync('ran', [process.getuid(), process.getgid(), ...process.getgroups()].join(' ') + '\\n')
`
const STAYS = 'setInterval(() => {}, 1_000_000)\n'
const WHO = `${NOBODY} ${NOBODY} ${NOBODY}`

/** An application that belongs to its own user, directory and all; `call`: the options of its own daemonize(). */
function application(scene: Scene, call?: DaemonizeOptions, first = TELLS): string {
  chmodSync(scene.directory, 0o755)
  mkdirSync(scene.path('app'))
  const becomes =
    call === undefined ? '' : `import { daemonize } from '${LIBRARY}'\ndaemonize(${JSON.stringify(call)})\n`
  const script = scene.write('app/d.mjs', `${first}${becomes}${STAYS}`)
  for (const path of [scene.path('app'), script, scene.write('app/ran', '')]) chownSync(path, NOBODY, NOBODY)
  return script
}

const runs = (scene: Scene) => scene.read('app/ran').split('\n').slice(0, -1)

const STARTS: Record<string, (scene: Scene) => Promise<{ code: number | null; stderr: string }>> = {
  'that calls daemonize() with `user` and `monitor`': scene =>
    scene.node(application(scene, { name: 'd', pidFile: scene.path('run/d.pid'), user: NOBODY, monitor: true }), {
      cwd: scene.path('app'),
    }),
  'that the command starts with --user': scene =>
    cli(scene, ['start', '--monitor', '--user', String(NOBODY), application(scene)], { cwd: scene.path('app') }),
  'that the command starts, and that takes its user itself': scene =>
    cli(scene, ['start', '--monitor', application(scene, { user: NOBODY })], { cwd: scene.path('app') }),
}

for (const [what, start] of Object.entries(STARTS)) {
  asRoot(`a script ${what} is its user’s from its first line on, at each restart and reload`, async t => {
    const scene = new Scene(t)
    mkdirSync(scene.path('run'))
    const { code, stderr } = await start(scene)
    t.is(code, 0, stderr)
    const before = runs(scene).length
    process.kill(await workerOf(scene, 'd'), 'SIGKILL')
    await scene.until('it runs again', () => runs(scene).length > before)
    t.is((await cli(scene, ['reload', 'd'])).code, 0)
    t.deepEqual(runs(scene).slice(before), [WHO, WHO])
    const sets = ofAllThreads(await workerOf(scene, 'd'), 'CapInh', 'CapPrm', 'CapEff', 'CapAmb')
    for (const each of sets) t.deepEqual(each, ['0000000000000000'])
  })
}

asRoot('what a call asks for that only root may have, its successors have, too', async t => {
  const scene = new Scene(t)
  const wanted = { user: NOBODY, nice: -5, ioPriority: 'realtime:3', oomScoreAdjust: 100, workers: 2 } as const
  const script = application(scene, { ...wanted, listen: { it: '127.0.0.1:0' }, ready: 'loaded' })
  t.is((await cli(scene, ['start', script], { cwd: scene.path('app') })).code, 0)
  t.deepEqual(runs(scene).slice(1), [WHO], 'the second worker is started after the first one’s call')
  process.kill(await workerOf(scene, 'd'), 'SIGKILL')
  await scene.until('it runs again', () => runs(scene).length > 2)
  t.is((await cli(scene, ['reload', 'd'])).code, 0)
  const worker = await workerOf(scene, 'd')
  t.is(getPriority(worker), -5)
  t.is(execFileSync('ionice', ['-p', String(worker)], { encoding: 'utf8' }).trim(), 'realtime: prio 3')
  t.is(readFileSync(`/proc/${worker}/oom_score_adj`, 'utf8').trim(), '100')
})

asRoot('as root without `user`, a script that others can write is warned of once', async t => {
  const scene = new Scene(t)
  const { code, stderr } = await cli(scene, ['start', application(scene)], { cwd: scene.path('app') })
  t.is(code, 0)
  const path = scene.path('app')
  t.is(
    stderr,
    `d: warning: others than root can write ${path}, and what they write runs as root: give it a \`user\`, or make it root’s alone\n`,
  )
  t.is((await cli(scene, ['stop', 'd'])).code, 0)
  chownSync(path, 0, 0)
  chownSync(scene.path('app/d.mjs'), 0, 0)
  t.is((await cli(scene, ['start', scene.path('app/d.mjs')], { cwd: path })).stderr, '')
})

// ── Programs that begin as root ──────────────────────────────────────────────────────────

/** What others may write of a program that root alone could write at its start. */
const WEAKENS: Record<string, (scene: Scene) => string> = {
  'its script': scene => writableByAll(scene.path('roots/d.mjs')),
  'a directory above': scene => writableByAll(scene.path('roots')),
  'its preload': scene => writableByAll(scene.path('preload.mjs')),
  'its package.json': scene => writableByAll(scene.path('roots/package.json')),
}

function writableByAll(path: string): string {
  chmodSync(path, statSync(path).isDirectory() ? 0o777 : 0o666)
  return path
}

/** An application of root's; its runs are told in a directory that is its user's, too. */
function rootsApplication(scene: Scene): string[] {
  application(scene)
  mkdirSync(scene.path('roots'))
  scene.write('roots/package.json', '{}')
  const preload = scene.write('preload.mjs', TELLS)
  const script = scene.write('roots/d.mjs', STAYS)
  return ['--monitor', '--start-as=root', '--env', `NODE_OPTIONS=--import=${preload}`, script]
}

for (const [what, weaken] of Object.entries(WEAKENS)) {
  asRoot(
    `with startAs 'root' no worker is started while others can write ${what}, at a restart and a reload`,
    async t => {
      if (statSync(ROOT).uid !== 0) {
        t.pass('skipped: this checkout, which has the preload, is not root’s')
        return
      }
      const scene = new Scene(t)
      const started = ['start', '--user', String(NOBODY), ...rootsApplication(scene)]
      t.is((await cli(scene, started, { cwd: scene.path('app') })).code, 0)
      t.regex(scene.read('app/ran'), /^0 0 .*\n$/)
      const path = weaken(scene)
      const { code, stderr } = await cli(scene, ['reload', 'd'])
      t.is(code, 1)
      t.true(stderr.includes(`exec ${path}: Operation not permitted (others than root can write it`), stderr)
      const worker = await workerOf(scene, 'd')
      t.is(ofAllThreads(worker, 'Uid')[0]?.[0], Array(4).fill(NOBODY).join('\t'))
      process.kill(worker, 'SIGKILL')
      await scene.until(
        'it was refused',
        () => scene.read('state/d.log').split('others than root can write').length > 2,
      )
      chmodSync(path, statSync(path).isDirectory() ? 0o755 : 0o644)
      await scene.until('it runs again', async () => {
        const pid = await workerOf(scene, 'd').catch(() => worker)
        return pid !== worker
      })
      t.is((await cli(scene, ['stop', 'd'])).code, 0)
      weaken(scene)
      const again = await cli(scene, started, { cwd: scene.path('app') })
      t.is(again.code, 126)
      t.true(again.stderr.includes(`cannot execute ${path}: EPERM`), again.stderr)
    },
  )
}
