// The supervisor and its workers at their limits: no descriptors, no memory, a pid that comes again.
import { readFileSync, renameSync, statSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import test from 'ava'
import type { Programs } from './fixtures/hostile.js'
import { launchOnce } from './support/launching.js'
import { withNamespaces } from './support/locks.js'
import { programs, Scene } from './support/scene.js'
import { isAlive, linkOf, Supervisor, startSupervised, statusLine } from './support/supervised.js'

const hostile = programs<Programs>('hostile')

async function limit(supervisor: Supervisor, limits: string): Promise<void> {
  const { code, stderr } = await supervisor.scene.run('prlimit', ['--pid', String(supervisor.pid), limits])
  if (code !== 0) throw new Error(stderr)
}

test('a worker without a free descriptor outlives a log rotation, and gets the new file when it has one', async t => {
  const scene = new Scene(t)
  const options = { workers: 1, limits: { nofile: 64 } }
  const supervisor = await startSupervised(scene, hostile('fillsItsDescriptors', options))
  const worker = await supervisor.worker()
  scene.write('full', '')
  await supervisor.logged(/^full$/m)
  renameSync(scene.path('d.log'), scene.path('d.log.1'))
  supervisor.signal('SIGUSR1')
  await supervisor.logged(/warning: pid \d+ keeps writing to the old log file until it has a descriptor free/)
  t.is(linkOf(worker, 1), scene.path('d.log.1'))
  t.is(await supervisor.worker(), worker)
  process.kill(worker, 'SIGALRM')
  await scene.until('it has the new file', () => linkOf(worker, 1) === scene.path('d.log'))
  t.is(await supervisor.worker(), worker)
})

/** Clock ticks that a process has used: a hundredth of a second each. */
function ticksOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]?.split(' ') ?? []
  return Number(fields[11]) + Number(fields[12])
}

test('a client for whom there is no descriptor waits, and the supervisor sleeps', async t => {
  const scene = new Scene(t)
  const supervisor = await startSupervised(scene, { workers: 1 })
  const worker = await supervisor.worker()
  await limit(supervisor, '--nofile=3:')
  const answer = supervisor.ask({ do: 'status' })
  const before = ticksOf(supervisor.pid)
  await new Promise(resolve => setTimeout(resolve, 1_000)) // what is measured is what it does with this time
  t.true(ticksOf(supervisor.pid) - before < 20)
  await limit(supervisor, '--nofile=1024:')
  t.true((await answer).ok)
  t.is(await supervisor.worker(), worker)
})

test('without memory the supervisor waits for some, and its workers live on', async t => {
  const scene = new Scene(t)
  const supervisor = await startSupervised(scene, { workers: 1 })
  const worker = await supervisor.worker()
  const clients: Socket[] = []
  t.teardown(() => {
    for (const client of clients) client.destroy()
  })
  await limit(supervisor, '--as=4096:')
  for (let count = 0; count < 120; count++) {
    const client = connect(scene.path('d.sock')).on('error', () => {})
    client.write('x'.repeat(15_000))
    clients.push(client)
  }
  await supervisor.logged(/no memory: waiting for some\n/)
  t.true(isAlive(supervisor.pid) && isAlive(worker))
  await limit(supervisor, '--as=unlimited:')
  for (const client of clients) client.destroy()
  t.is(await supervisor.worker(), worker)
  t.is(statusLine(worker, 'PPid'), String(supervisor.pid))
})

withNamespaces('a successor that gets the pid of its predecessor is kept', async t => {
  const scene = new Scene(t)
  const [script, ...given] = hostile('comesAgain')
  const inNamespace = ['--pid', '--fork', '--kill-child', '--mount-proc', process.execPath, script, ...given]
  scene.spawn('unshare', inNamespace, { detach: 'false' })
  const lives = () => (scene.exists('lives') ? scene.read('lives').trim().split('\n') : [])
  await scene.until('it lives', () => lives().length === 1)
  for (let times = 2; times <= 4; times++) {
    scene.write('again', '')
    await scene.until('it lives again', () => lives().length >= times)
  }
  const status = () => new Supervisor(scene, 0).ask({ do: 'status' })
  await scene.until('it is ready', async () => ((await status()).workers?.[0] as { ready: boolean } | undefined)?.ready)
  t.is(lives().length, 4)
  if (new Set(lives()).size === 4) t.log('no pid came again')
})

test('a foreign program’s stderr stays bounded after the supervisor has executed itself anew', async t => {
  const scene = new Scene(t)
  const path = scene.write(
    'd.sh',
    `cd '${scene.directory}'
while [ ! -e go ]; do sleep 0.02; done
i=0; while [ $i -lt 40 ]; do head -c 1000000 /dev/zero >&2; i=$((i + 1)); done; : > written
exec sleep 1000\n`,
  )
  const { error, pid = 0 } = await launchOnce(scene, [path], { name: 'd', interpreter: '/bin/sh' })
  t.is(error, undefined)
  const supervisor = new Supervisor(scene, pid)
  const worker = await supervisor.worker()
  const socket = () => statSync(scene.path('d.sock'), { throwIfNoEntry: false })?.ctimeMs
  const before = socket()
  supervisor.signal('SIGUSR2')
  await scene.until('it is executed anew', () => socket() !== undefined && socket() !== before)
  scene.write('go', '')
  await scene.until('it has written', () => scene.exists('written'))
  const kept = () => statSync(`/proc/${worker}/fd/2`).blocks * 512
  await scene.until('only the end is kept', () => kept() < 1_000_000)
  t.pass()
})
