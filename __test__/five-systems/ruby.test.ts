// What users of Ruby's daemons rely on (Process.daemon, daemons, preforking, daemon-kit): the rows of docs/coming-from.md.
// The preforking session is prefork.test.ts.
import { readdirSync, renameSync, rmSync, statSync } from 'node:fs'
import { createServer } from 'node:net'
import test from 'ava'
import { PidLock, processInfo, stop } from 'daemonic'
import { become, inline } from '../support/inline.js'
import { freePort } from '../support/listening.js'
import { probe } from '../support/probe.js'
import { startProgram } from '../support/program.js'
import { refused } from '../support/refused.js'
import { Scene } from '../support/scene.js'
import { isAlive, linkOf } from '../support/supervised.js'

test('Process.daemon', async t => {
  const { cwd, descriptors, tty, ppid, pid, pgid, sid } = await probe(new Scene(t))
  t.is(cwd, '/')
  t.deepEqual(
    [0, 1, 2].map(fd => descriptors[fd]),
    ['/dev/null', '/dev/null', '/dev/null'],
  )
  t.is(tty, null)
  t.is(pgid, pid)
  t.not(sid, pid)
  t.not(ppid, process.pid)
  t.false(isAlive(sid), 'two forks: the leader of the session has exited')
})

test('nochdir and noclose', async t => {
  const scene = new Scene(t)
  scene.write('in', '')
  const { code } = await scene.by(
    'bash',
    '"$@" <in >out 2>err 7<in',
    become(scene, { chdir: false, stdin: 'inherit', log: 'inherit' }),
  )
  t.is(code, 0)
  const pid = Number(scene.read('d.pid'))
  t.deepEqual(
    [0, 1, 2].map(fd => linkOf(pid, fd)),
    ['in', 'out', 'err'].map(name => scene.path(name)),
  )
  const open = readdirSync(`/proc/${pid}/fd`).filter(fd => linkOf(pid, Number(fd)) === scene.path('in'))
  t.deepEqual(open, ['0'], 'what is not in `preserve` is closed')
})

test('print_process_info', async t => {
  const scene = new Scene(t)
  const pid = await startProgram(scene, become(scene, { umask: 0o027 }))
  const { ppid, ...info } = processInfo(pid)
  t.like(info, { pid, pgid: pid, tty: null, umask: 0o027 })
  t.true(info.sid > 0 && info.sid !== pid)
  t.true(ppid > 0 && ppid !== process.pid)
})

test('$0 = name', async t => {
  const scene = new Scene(t)
  const { title } = await probe(scene, { name: 'mailer' })
  t.is(title, 'mailer')
})

test('trap(:KILL)', async t => {
  const scene = new Scene(t)
  const says = /`signals\.SIGKILL` option can't be set: SIGKILL can't be mapped/
  await refused(t, scene, become(scene, { signals: { SIGKILL: 'ignore' } } as object), { code: 2, says })
})

test('TCPServer.open on a port that is taken', async t => {
  const server = createServer()
  t.teardown(() => server.close())
  const port = await freePort()
  await new Promise<void>(resolve => server.listen(port, '127.0.0.1', resolve))
  const scene = new Scene(t)
  const says = new RegExp(`^cannot listen on 127\\.0\\.0\\.1:${port}: EADDRINUSE, .*pid ${process.pid} listens there`)
  await refused(t, scene, become(scene, { listen: { tcp: `127.0.0.1:${port}` }, log: 'ignore' }), { says })
})

test('killall', async t => {
  const scene = new Scene(t)
  const other = new Scene(t)
  const pid = await startProgram(scene, become(scene, {}))
  const bystander = await startProgram(other, become(other, {}))
  t.like(await stop(scene.path('d.pid')), { pid, wasRunning: true })
  t.false(isAlive(pid))
  t.is(PidLock.inspect(other.path('d.pid')).pid, bystander, 'another program of the language goes on')
})

test('Logger.new', async t => {
  const scene = new Scene(t)
  await startProgram(scene, become(scene, { log: './logger.log' }, `console.log('Connection in', process.pid)`))
  await scene.until('it has logged', () => /^Connection in \d+\n/.test(scene.read('logger.log')))
  t.is(statSync(scene.path('logger.log')).mode & 0o777, 0o640)
})

test('reopen_logs', async t => {
  const scene = new Scene(t)
  const text = `const daemon = become()
const stream = fs.createWriteStream(here + '/more.log', { flags: 'a' })
await new Promise(resolve => stream.once('open', resolve))
process.on('SIGUSR1', () => tell('counts', String(daemon.reopenLogs({ all: true }))))
process.on('SIGUSR2', () => { console.log('größe'); stream.write('größe\\n') })
daemon.ready()
setInterval(() => {}, 1e6)`
  const pid = await startProgram(scene, inline(scene, text.replace('become()', `become({ ready: 'manual' })`)))
  const counted = async (expected: string) => {
    process.kill(pid, 'SIGUSR1')
    await scene.until(`counts are ${expected}`, () => scene.exists('counts') && scene.read('counts') === expected)
  }
  await counted('0\n')
  for (const name of ['d.log', 'more.log']) renameSync(scene.path(name), scene.path(`${name}.1`))
  await counted('0\n3\n') // both outputs, and the stream
  rmSync(scene.path('more.log'))
  await counted('0\n3\n1\n')
  process.kill(pid, 'SIGUSR2')
  await scene.until('both have it', () => ['d.log', 'more.log'].every(name => scene.read(name) === 'größe\n'))
  t.is(scene.read('d.log.1'), '')
})

test('a second signal while it stops', async t => {
  const scene = new Scene(t)
  const hangs = `daemon.onStop(() => { tell('told', 'stopping'); return new Promise(() => {}) })`
  const pid = await startProgram(scene, become(scene, {}, hangs))
  process.kill(pid, 'SIGINT')
  await scene.until('it stops', () => scene.exists('told'))
  process.kill(pid, 'SIGINT')
  await scene.empty()
  t.regex(scene.read('d.log'), /SIGINT while stopping: exiting at once/)
})
