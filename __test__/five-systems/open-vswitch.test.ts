// The scenarios of Open vSwitch's tests/daemon.at, and what else its users rely on: the rows of docs/coming-from.md.
import { readFileSync } from 'node:fs'
import test from 'ava'
import { PidLock, processInfo, status } from 'daemonic'
import { become, inline } from '../support/inline.js'
import { startProgram } from '../support/program.js'
import { refused } from '../support/refused.js'
import { finished, fixture, type Program, type RunOptions, Scene } from '../support/scene.js'
import { isAlive, statusLine } from '../support/supervised.js'

const parentOf = (pid: number) => Number(statusLine(pid, 'PPid'))
const titleOf = (pid: number) => readFileSync(`/proc/${pid}/cmdline`, 'utf8').replace(/\0+$/, '')

/** The server with this command line, in a scene whose run directory is its own. */
class Server {
  readonly scene: Scene
  readonly run: RunOptions

  constructor(scene: Scene) {
    this.scene = scene
    this.run = { env: { DAEMONIC_RUNTIME_DIR: scene.path('run') }, detach: 'auto' }
  }

  program(...args: string[]): Program {
    return [fixture('scripts/database'), ...args]
  }

  detached(...args: string[]) {
    return this.scene.node(this.program('--detach', '--no-chdir', ...args), this.run)
  }

  foreground(...args: string[]) {
    const child = this.scene.spawnNode(this.program(...args), this.run)
    return { pid: Number(child.pid), end: finished(child) }
  }

  get hasPidFile(): boolean {
    return this.scene.exists('run/database.pid')
  }

  /** The pid in the file, once the daemon is ready. */
  async pid(): Promise<number> {
    const path = this.scene.path('run/database.pid')
    return this.scene.until('it is ready', () => {
      const { state, pid } = PidLock.inspect(path)
      return state === 'running' && pid === Number(readFileSync(path, 'utf8')) && pid
    })
  }

  /** The process that serves, none of `others`. */
  async worker(...others: number[]): Promise<number> {
    return this.scene.until('a worker is ready', async () => {
      const { workers } = await status(this.scene.path('run/database.pid'))
      return workers.find(({ pid, ready }) => ready && !others.includes(pid))?.pid
    })
  }

  async isGone(...pids: number[]): Promise<void> {
    await this.scene.until('all has ended, the pid file too', () => !pids.some(isAlive) && !this.hasPidFile)
  }
}

test('daemon', async t => {
  const server = new Server(new Scene(t))
  const { pid, end } = server.foreground('--pidfile', '--no-db')
  t.is(await server.pid(), pid)
  process.kill(pid)
  t.is((await end).code, 0)
  t.false(server.hasPidFile)
})

test('daemon --monitor', async t => {
  const server = new Server(new Scene(t))
  const { pid, end } = server.foreground('--monitor', '--pidfile', '--no-db')
  t.is(await server.pid(), pid, 'the file names the supervisor')
  const child = await server.worker()
  t.is(parentOf(child), pid)
  process.kill(child, 'SIGSEGV')
  const second = await server.worker(child)
  t.is(parentOf(second), pid)
  t.is(await server.pid(), pid)
  process.kill(second)
  t.is((await end).code, 0)
  await server.isGone(pid, second)
})

test('daemon --detach', async t => {
  const server = new Server(new Scene(t))
  const { code, stdout } = await server.detached('--pidfile', '--no-db')
  t.deepEqual([code, stdout], [0, ''])
  t.true(server.hasPidFile, 'before the parent exits')
  const pid = await server.pid()
  process.kill(pid)
  await server.isGone(pid)
})

test('daemon --detach --monitor', async t => {
  const server = new Server(new Scene(t))
  t.is((await server.detached('--pidfile', '--monitor', '--no-db')).code, 0)
  const monitor = await server.pid()
  const child = await server.worker()
  t.is(parentOf(child), monitor)
  t.not(parentOf(monitor), process.pid)
  await server.scene.until('it says so', () => titleOf(monitor) === `database: monitoring pid ${child} (healthy)`)
  process.kill(child, 'SIGSEGV')
  const second = await server.worker(child)
  t.is(parentOf(second), monitor)
  await server.scene.until('it says so', () =>
    titleOf(monitor).includes(`monitoring pid ${second} (1 failure: pid ${child}`),
  )
  process.kill(second)
  await server.isGone(monitor, second)
})

for (const options of ['', ' --monitor']) {
  test(`daemon --detach${options} startup errors`, async t => {
    const server = new Server(new Scene(t))
    const { code, stderr } = await server.detached(
      '--pidfile',
      ...options.split(' ').filter(Boolean),
      '--unixctl=nonexistent/unixctl',
      '--no-db',
    )
    t.is(code, 1)
    t.regex(stderr, /could not initialize control socket/)
    t.false(server.hasPidFile)
  })
}

test('backtrace with monitor', async t => {
  const server = new Server(new Scene(t))
  await server.detached('--monitor', '--pidfile', '--no-db')
  const child = await server.worker()
  process.kill(child, 'SIGSEGV')
  await server.worker(child)
  t.regex(server.scene.read('database.log'), new RegExp(`supervisor: .*pid ${child} .*SIGSEGV`))
})

test('--overwrite-pidfile', async t => {
  const server = new Server(new Scene(t))
  await server.detached('--pidfile')
  const first = await server.pid()
  const refusal = await server.detached('--pidfile')
  t.is(refusal.code, 1)
  t.regex(refusal.stderr, new RegExp(`^database: already running as pid ${first} \\(.*database\\.pid\\)\\n$`))
  const second = await server.detached('--pidfile', '--overwrite-pidfile')
  t.is(second.code, 0)
  t.regex(
    second.stderr,
    new RegExp(`^database: warning: taking over .*database\\.pid from pid ${first}, which goes on\\n$`),
  )
  t.not(await server.pid(), first)
  t.true(isAlive(first))
})

test('--pidfile=FILE, relative to the run directory', async t => {
  const server = new Server(new Scene(t))
  await server.detached('--pidfile=other.pid')
  t.false(server.scene.exists('other.pid'))
  t.regex(server.scene.read('run/other.pid'), /^\d+\n$/)
  t.is(PidLock.inspect(server.scene.path('run/other.pid')).verified, true, 'read_pidfile()')
})

test('the kernel’s word, not the text’s', async t => {
  const server = new Server(new Scene(t))
  await server.detached('--pidfile')
  const pid = await server.pid()
  process.kill(pid, 'SIGKILL')
  const inspect = () => PidLock.inspect(server.scene.path('run/database.pid'))
  await server.scene.until('its lock is gone', () => inspect().state !== 'running')
  t.like(inspect(), { state: 'free', pid })
  t.true(server.hasPidFile, 'inspect() deletes nothing')
  t.is((await server.detached('--pidfile')).code, 0, 'taken over')
})

test('the child’s exit code, and how it died', async t => {
  for (const [text, code, says] of [
    ['process.exit(7)', 7, /^d: the daemon exited with 7 before it was ready/],
    ['process.exit(0)', 1, /^d: the daemon exited with 0 before it was ready/],
    [`process.kill(process.pid, 'SIGSEGV')`, 139, /^d: the daemon was killed by SIGSEGV before it was ready/],
  ] as const) {
    const scene = new Scene(t)
    await refused(t, scene, inline(scene, `become({ log: 'ignore' })\n${text}`), { code, says })
  }
})

test('a start that hangs', async t => {
  const scene = new Scene(t)
  const hangs = become(scene, { ready: 'manual', startTimeout: 500, log: 'ignore' })
  await refused(t, scene, hangs, { code: 124, says: /not ready after 500 ms and was ended/ })
})

test('two forks: the daemon does not lead its session', async t => {
  const scene = new Scene(t)
  const pid = await startProgram(scene, become(scene, {}))
  const { sid, pgid } = processInfo(pid)
  t.is(pgid, pid)
  t.not(sid, pid)
  t.false(isAlive(sid), 'the leader has exited')
})

test('stderr before and after startup', async t => {
  const scene = new Scene(t)
  const text = `const daemon = become({ ready: 'manual', log: 'ignore' })
console.error('early')
daemon.ready()
console.error('late')
setInterval(() => {}, 1e6)`
  const { code, stderr } = await scene.node(inline(scene, text))
  t.deepEqual([code, stderr], [0, ''])
  const other = new Scene(t)
  const fails = inline(other, `become({ ready: 'manual', log: 'ignore' })\nconsole.error('early')\nprocess.exit(3)`)
  await refused(t, other, fails, { code: 3, says: /early/ })
})

test('it may fork, and not start in a thread', async t => {
  const scene = new Scene(t)
  const text = `import { execFileSync } from 'node:child_process'
become()
tell('told', execFileSync('echo', ['forked'], { encoding: 'utf8' }).trim())
setInterval(() => {}, 1e6)`
  await startProgram(scene, inline(scene, text))
  await scene.until('it has forked', () => scene.exists('told') && scene.read('told') === 'forked\n')
  const other = new Scene(t)
  const inThread = inline(
    other,
    `import { isMainThread, Worker } from 'node:worker_threads'
if (isMainThread) new Worker(new URL(import.meta.url))
else become()`,
  )
  await refused(t, other, inThread, { code: 1, says: /daemonize\(\) was called in a worker thread/ })
})

test('a pid file that can’t be made', async t => {
  const scene = new Scene(t)
  const start = become(scene, { pidFile: './missing/d.pid', log: 'ignore' })
  await refused(t, scene, start, { says: /^cannot create the pid file .*\/missing\/d\.pid: ENOENT, / })
})

for (const [how, restarts] of [
  ['SIGSEGV', true],
  ['SIGTERM', false],
] as const) {
  test(`restart: 'on-abnormal' ${restarts ? 'restarts after' : 'ends with'} ${how}`, async t => {
    const scene = new Scene(t)
    const pid = await startProgram(scene, become(scene, { monitor: { restart: 'on-abnormal' } }))
    const worker = async (but?: number) =>
      scene.until(
        'a worker is ready',
        async () => (await status(scene.path('d.pid'))).workers.find(each => each.ready && each.pid !== but)?.pid,
      )
    const first = await worker()
    process.kill(first, how)
    if (restarts) t.not(await worker(first), first)
    else {
      await scene.until('the supervisor has ended', () => !isAlive(pid))
      t.false(scene.exists('d.pid'))
    }
  })
}
