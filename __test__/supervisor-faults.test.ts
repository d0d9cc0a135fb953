// What goes wrong around the supervisor, which it must outlive: no processes to be had, no room for logs.
import { chmodSync, copyFileSync, readdirSync, writeFileSync } from 'node:fs'
import test from 'ava'
import { status, stop } from 'daemonic'
import { spawnCli } from './support/cli.js'
import { STRANGER } from './support/identity.js'
import { asRoot } from './support/locks.js'
import { finished, Scene } from './support/scene.js'
import { childrenOf, isAlive, Supervisor, startSupervised, statusLine, supervised } from './support/supervised.js'

const STRANGERS = { uid: STRANGER, gid: STRANGER }

/** How many processes the supervisor's user may have: more than one has already, or less. */
async function allow(supervisor: Supervisor, processes: number): Promise<void> {
  const args = ['--pid', String(supervisor.pid), `--nproc=${processes}:`]
  const { code, stderr } = await supervisor.scene.run('prlimit', args, STRANGERS)
  if (code !== 0) throw new Error(stderr)
}

asRoot('where no process can be started it warns, waits, and tries again', async t => {
  const scene = new Scene(t)
  scene.giveTo(STRANGER)
  const supervisor = await startSupervised(scene, { workers: 1 }, STRANGERS)
  const worker = await supervisor.worker()
  await allow(supervisor, 0)
  process.kill(worker, 'SIGKILL')
  await supervisor.logged(/warning: 2 failures: second fork .*: Try again \(tried 5 times\), waiting 100 ms\n/)
  await supervisor.logged(/warning: 3 failures: second fork.* \(tried 5 times\), waiting 200 ms\n/)
  t.deepEqual((await supervisor.ask({ do: 'status' })).workers, [])
  await allow(supervisor, 10_000)
  t.not(await supervisor.worker([worker]), worker)
})

asRoot('a reload that can’t start a process fails, and those that run go on', async t => {
  const scene = new Scene(t)
  scene.giveTo(STRANGER)
  const supervisor = await startSupervised(scene, { workers: 2 }, STRANGERS)
  const before = await supervisor.pids(2)
  await allow(supervisor, 0)
  const { ok, error } = await supervisor.ask({ do: 'reload' })
  t.false(ok)
  t.regex(error ?? '', /second fork .*: Try again \(tried 5 times\)$/)
  t.deepEqual(await supervisor.pids(2), before)
})

asRoot('a worker that became root by a set-uid program can’t be killed: it is told of, and tried again', async t => {
  const scene = new Scene(t)
  scene.giveTo(STRANGER)
  copyFileSync('/usr/bin/setpriv', scene.path('rises'))
  chmodSync(scene.path('rises'), 0o4755)
  const rising = ['./rises', '--reuid', '0', '--clear-groups', 'sleep', '1000']
  const child = spawnCli(scene, ['run', '--name', 'd', '--stop-timeout', '300ms', '--', ...rising], STRANGERS)
  const end = finished(child)
  let said = ''
  child.stderr?.on('data', chunk => (said += chunk))
  const worker = await scene.until('it is root’s', () => {
    const [pid] = childrenOf(child.pid ?? 0)
    return pid !== undefined && /^0\t0\t/.test(statusLine(pid, 'Uid')) && statusLine(pid, 'Name') === 'sleep' && pid
  })
  process.kill(child.pid ?? 0, 'SIGTERM')
  await scene.until('it is told', () =>
    said.includes(`error: pid ${worker} can't be killed: Operation not permitted; trying again\n`),
  )
  t.regex(said, new RegExp(`error: pid ${worker} can't be (asked to stop|sent SIGTERM): Operation not permitted\n`))
  t.true(isAlive(worker))
  process.kill(worker, 'SIGKILL')
  t.is((await end).code, 137)
})

test('where no line can be written to the log it goes on all the same', async t => {
  const scene = new Scene(t)
  const printing = supervised('printsToBoth', { workers: 2, log: '/dev/full' })
  const supervisor = await startSupervised(scene, printing)
  const [first = 0] = await supervisor.pids(2)
  process.kill(first, 'SIGKILL')
  const after = await supervisor.pids(2, [first])
  t.deepEqual(await supervisor.ask({ do: 'reload' }), { ok: true })
  await supervisor.pids(2, after)
  t.false((await stop(scene.path('d.pid'))).forced)
})

asRoot('a disk that fills up is survived, and written to again when there is room', async t => {
  const scene = new Scene(t)
  // Mounted in a namespace of its own: seen through the supervisor's root.
  const shell = ['--mount', 'sh', '-c', 'mkdir logs && mount -t tmpfs -o size=64k none logs && exec "$@"', 'sh']
  const printing = supervised('printsLines', { workers: 1, log: './logs/d.log' })
  const { code, stderr } = await scene.run('unshare', [...shell, process.execPath, ...printing])
  if (stderr.includes('unshare') || stderr.includes('mount')) {
    t.pass(`skipped: ${stderr}`)
    return
  }
  t.is(code, 0, stderr)
  const supervisor = new Supervisor(scene, (await status(scene.path('d.pid'))).pid ?? 0)
  const worker = await supervisor.worker()
  const inside = (name: string) => `/proc/${supervisor.pid}/root${scene.path(`logs/${name}`)}`
  t.throws(() => writeFileSync(inside('fill'), Buffer.alloc(100_000)), { code: 'ENOSPC' })
  process.kill(worker, 'SIGKILL')
  const successor = await supervisor.worker([worker])
  writeFileSync(inside('fill'), '')
  writeFileSync(inside('d.log'), '')
  const log = () => scene.run('cat', [inside('d.log')])
  await scene.until('it writes again', async () => (await log()).stdout.includes(` of ${successor}\n`))
  t.false((await stop(scene.path('d.pid'))).forced)
})

test('forty crashes in a row leave no descriptors, no memory and no zombies behind', async t => {
  const scene = new Scene(t)
  const options = { workers: 4, monitor: { maxDelay: 1 } }
  const supervisor = await startSupervised(scene, supervised('endsWhere', 'broken', { kills: 'SIGKILL' }, options))
  await supervisor.pids(4)
  const open = () => readdirSync(`/proc/${supervisor.pid}/fd`).length
  const had = open()
  scene.write('broken', '')
  for (const pid of supervisor.children()) process.kill(pid, 'SIGKILL')
  await scene.until('there were forty', () => supervisor.log.split('killed by SIGKILL').length > 40)
  scene.remove('broken')
  await supervisor.workers(4)
  t.is(supervisor.children().length, 4)
  await scene.until('it has as many descriptors as before', () => open() <= had)
  t.pass()
})
