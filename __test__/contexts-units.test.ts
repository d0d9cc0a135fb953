// In the foreground: what a service manager hears of it, and what stays as it is.
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import test from 'ava'
import { contexts, lines, UNSUPERVISED } from './support/contexts.js'
import { withPython } from './support/locks.js'
import { inForeground } from './support/program.js'
import { type RunOptions, Scene, script } from './support/scene.js'

const node = process.execPath

interface Manager {
  /** All that was sent to it, and its end: datagrams wait in its socket until then. */
  heard(): Promise<string[]>
}

/** A service manager's socket: Node has none of that kind. */
async function manager(scene: Scene, address: string): Promise<Manager> {
  const { stdin, stdout } = scene.spawn('python3', [script('manager.py'), address], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  if (!stdin || !stdout) throw new Error('it has no pipes')
  stdout.setEncoding('utf8')
  const [bound] = await once(stdout, 'data')
  // It may come in pieces: Python writes the line's end on its own.
  if (!bound.startsWith('bound')) throw new Error(`it could not bind: ${bound}`)
  const heard = async () => {
    stdin.end()
    let answer = ''
    for await (const chunk of stdout) answer += chunk
    return JSON.parse(answer)
  }
  return { heard }
}

// ── What a service manager hears ─────────────────────────────────────────────────────────

const UNIT = contexts('isAUnit')
/** With the time that it may take: stopTimeout by default, and a second. */
const STOPPING = 'STOPPING=1\nEXTEND_TIMEOUT_USEC=26000000'

for (const [kind, address] of [
  ['a path', (scene: Scene) => scene.path('notify')],
  ['an abstract name', (scene: Scene) => `@${scene.directory}/notify`],
] as const) {
  withPython(`READY, STATUS and STOPPING arrive at a manager’s socket with ${kind}`, async t => {
    const scene = new Scene(t)
    const { heard } = await manager(scene, address(scene))
    const { child, end } = await inForeground(scene, UNIT, { env: { ...UNSUPERVISED, NOTIFY_SOCKET: address(scene) } })
    child.kill('SIGTERM')
    t.is((await end).code, 0)
    t.deepEqual(await heard(), ['STATUS=warming up', 'READY=1', STOPPING])
  })
}

withPython('so they do where the manager says that we are its process', async t => {
  const scene = new Scene(t)
  const { heard } = await manager(scene, scene.path('notify'))
  const run: RunOptions = { detach: 'auto', env: { ...UNSUPERVISED, NOTIFY_SOCKET: scene.path('notify') } }
  const { code } = await scene.by('sh', 'SYSTEMD_EXEC_PID=$$ exec "$@"', contexts('isReadyTwiceAndStops'), run)
  t.is(code, 0)
  t.deepEqual(await heard(), ['STATUS=serving', 'READY=1', 'STATUS=twice', STOPPING])
})

withPython('a daemon that stops before it is ready does not say that it is', async t => {
  const scene = new Scene(t)
  const { heard } = await manager(scene, scene.path('notify'))
  const { code } = await scene.node(contexts('stopsBeforeItIsReady', 3), {
    detach: 'false',
    env: { ...UNSUPERVISED, NOTIFY_SOCKET: scene.path('notify') },
  })
  t.is(code, 3)
  t.deepEqual(await heard(), [STOPPING])
})

withPython('a manager hears nothing of a process that inherited its socket', async t => {
  const scene = new Scene(t)
  const { heard } = await manager(scene, scene.path('notify'))
  const env = { ...UNSUPERVISED, NOTIFY_SOCKET: scene.path('notify'), SYSTEMD_EXEC_PID: String(process.pid) }
  const { child, end } = await inForeground(scene, UNIT, { env })
  child.kill('SIGTERM')
  t.is((await end).code, 0)
  t.deepEqual(await heard(), [])
})

withPython('nor of a daemon that a unit’s process detached', async t => {
  const scene = new Scene(t)
  const { heard } = await manager(scene, scene.path('notify'))
  const run: RunOptions = { detach: 'true', env: { ...UNSUPERVISED, NOTIFY_SOCKET: scene.path('notify') } }
  const { code, stderr } = await scene.by('sh', 'SYSTEMD_EXEC_PID=$$ exec "$@"', UNIT, run)
  t.is(code, 0, stderr)
  process.kill(Number(scene.read('d.pid')), 'SIGTERM')
  await scene.until('it has ended', () => scene.processes().length === 1)
  t.deepEqual(await heard(), [])
})

for (const [what, address] of [
  ['is not there', '/nowhere/notify'],
  ['has no such abstract name', '@daemonic-nowhere'],
  ['is no socket', '/dev/null'],
  ['has an address that is too long', `/${'x'.repeat(200)}`],
  ['has an address of a kind that we don’t know', 'vsock:2:1234'],
] as const) {
  test(`a manager that ${what} stops nothing`, async t => {
    const scene = new Scene(t)
    const { child, end } = await inForeground(scene, UNIT, { env: { ...UNSUPERVISED, NOTIFY_SOCKET: address } })
    child.kill('SIGTERM')
    const { code, stderr } = await end
    t.is(code, 0)
    t.regex(stderr, /^\S+ unit\[\d+] info: stopping on SIGTERM\n$/)
  })
}

// ── What stays as it is ──────────────────────────────────────────────────────────────────

interface State {
  cwd: string
  streams: string[]
  umask: number
  title: string
  pid: number
  tty: string | null
  ignored: number[]
  caught: number[]
}

async function state(scene: Scene): Promise<State> {
  const line = await scene.until('it has told its state', () => lines(scene, 'told')[0])
  return JSON.parse(line)
}

/** The kernel's numbers of those that a terminal sends: TSTP, TTIN, TTOU. */
const JOB_CONTROL = [20, 21, 22]
const HUP = 1

/** For the dispositions of signals, which are of the process and settled when it is ready. */
const PLAIN = contexts('tellsItsState', { name: 'plain', pidFile: './d.pid' })
const PLAIN_COMMAND = `'${node}' ${PLAIN.join(' ')}`

test('standard streams and directory stay; umask and title are the daemon’s', async t => {
  const scene = new Scene(t)
  const command = 'umask 0; exec "$@" <in >>out 2>>err'
  for (const file of ['in', 'out', 'err']) scene.write(file, '')
  const shell = scene.spawn('sh', ['-c', command, 'sh', node, ...PLAIN], { detach: 'false' })
  const { cwd, streams, umask, title } = await state(scene)
  t.is(cwd, scene.directory)
  t.deepEqual(streams, ['in', 'out', 'err'].map(scene.path, scene))
  t.is(umask, 0o022)
  t.is(title, 'plain')
  t.is(shell.exitCode, null)
})

test('so they do whatever the options say', async t => {
  const scene = new Scene(t)
  const telling = contexts('tellsItsState', { chdir: '/', stdin: '/dev/null', log: './d.log' })
  const stdio: RunOptions['stdio'] = ['pipe', 'pipe', 'pipe']
  scene.spawnNode(telling, { detach: 'false', stdio })
  const { cwd, streams } = await state(scene)
  t.is(cwd, scene.directory)
  for (const stream of streams) t.regex(stream, /^socket:/)
  t.false(scene.exists('d.log'))
})

test('without a terminal its signals are ignored and HUP reloads', async t => {
  const scene = new Scene(t)
  scene.spawn('setsid', ['-w', node, ...PLAIN], { detach: 'false' })
  const { tty, ignored, caught } = await state(scene)
  t.is(tty, null)
  for (const signal of JOB_CONTROL) t.true(ignored.includes(signal), `${signal} is ignored`)
  t.true(caught.includes(HUP))
})

test('on a terminal they keep their defaults: HUP ends it, and INT still stops it', async t => {
  for (const [signal, status] of [
    ['SIGHUP', '129\n'],
    ['SIGINT', '0\n'],
  ] as const) {
    const scene = new Scene(t)
    if ((await scene.run('sh', ['-c', 'command -v script'])).code !== 0) {
      t.pass('skipped: there is no script(1) to make a terminal with')
      return
    }
    const command = `${PLAIN_COMMAND}; echo $? >draft; mv draft ended`
    const env = { SHELL: '/bin/sh' }
    scene.spawn('script', ['-qec', command, '/dev/null'], { detach: 'false', env, stdio: ['pipe', 'ignore', 'ignore'] })
    const { tty, pid, ignored, caught } = await state(scene)
    t.not(tty, null)
    for (const each of [HUP, ...JOB_CONTROL]) {
      t.false(ignored.includes(each), `${each} is not ignored`)
      t.false(caught.includes(each), `${each} is not caught`)
    }
    process.kill(pid, signal)
    await scene.until('it has ended', () => scene.exists('ended'))
    t.is(scene.read('ended'), status)
  }
})

test('on a terminal a stopped daemon goes on when it is continued', async t => {
  const scene = new Scene(t)
  if ((await scene.run('sh', ['-c', 'command -v script'])).code !== 0) {
    t.pass('skipped: there is no script(1) to make a terminal with')
    return
  }
  // Job control puts it in a group of its own, without which the kernel would not stop it: setpgid(2).
  const command = `set -m; ${PLAIN_COMMAND} & while :; do wait; done`
  const env = { SHELL: '/bin/sh' }
  scene.spawn('script', ['-qec', command, '/dev/null'], { detach: 'false', env, stdio: ['pipe', 'ignore', 'ignore'] })
  const { pid } = await state(scene)
  const is = (letter: string) =>
    new RegExp(`^State:\\s+${letter}`, 'm').test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  process.kill(pid, 'SIGTSTP')
  await scene.until('it is stopped', () => is('T'))
  process.kill(pid, 'SIGCONT')
  await scene.until('it goes on', () => is('S'))
  process.kill(pid, 'SIGTERM')
  await scene.until('it has ended', () => !scene.processes().includes(pid))
  t.false(scene.exists('d.pid'))
})
