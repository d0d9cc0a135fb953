// What users of python-daemon rely on, option by option: the rows of docs/coming-from.md.
import { readFileSync } from 'node:fs'
import test, { type ExecutionContext } from 'ava'
import { PidLock, processInfo } from 'daemonic'
import { become, inline } from '../support/inline.js'
import { probe } from '../support/probe.js'
import { startProgram } from '../support/program.js'
import { refused } from '../support/refused.js'
import { asRoot } from '../support/root.js'
import { finished, type Program, Scene } from '../support/scene.js'

const NOBODY = 65_534
/** The bit of a signal in the masks of proc_pid_status(5). */
const bit = (signal: number) => 1n << BigInt(signal - 1)
const TERMINAL_STOPS = [20, 21, 22] // TSTP, TTIN, TTOU
const ENDS = [1, 2, 3, 15] // HUP, INT, QUIT, TERM

test('a context without options', async t => {
  const scene = new Scene(t)
  const { cwd, umask, descriptors, detached, tty, ppid, limits, status } = await probe(scene)
  const uid = process.getuid?.()
  t.is(cwd, '/')
  t.is(umask, 0o022)
  t.deepEqual(
    [0, 1, 2].map(fd => descriptors[fd]),
    ['/dev/null', '/dev/null', '/dev/null'],
  )
  t.true(detached)
  t.is(tty, null)
  t.not(ppid, process.pid)
  t.regex(limits, /^Max core file size +0 +0 /m)
  t.regex(status.Uid ?? '', new RegExp(`^${uid}\t${uid}\t${uid}\t${uid}$`))
  const [ignored, caught] = [BigInt(`0x${status.SigIgn}`), BigInt(`0x${status.SigCgt}`)]
  for (const signal of TERMINAL_STOPS) t.true((ignored & bit(signal)) !== 0n, `${signal} is ignored`)
  for (const signal of ENDS) t.true((caught & bit(signal)) !== 0n, `${signal} is caught`)
  t.false(scene.files().some(name => name.endsWith('.pid')))
})

test('working_directory, umask, prevent_core and the streams as given', async t => {
  const scene = new Scene(t)
  scene.write('in', 'typed')
  const options = { chdir: scene.directory, umask: 0o027, stdin: './in', stdout: './out', stderr: './err' }
  const { kernelCwd, umask, descriptors, limits } = await probe(scene, { ...options, limits: {} })
  t.is(kernelCwd, scene.directory)
  t.is(umask, 0o027)
  t.deepEqual(
    [0, 1, 2].map(fd => descriptors[fd]),
    ['in', 'out', 'err'].map(name => scene.path(name)),
  )
  t.regex(limits, /^Max core file size +0 +0 /m, 'not changed by other limits')
})

test('umask kept', async t => {
  const scene = new Scene(t)
  const { code } = await scene.by('sh', 'umask 013; "$@"', become(scene, { umask: false }))
  t.is(code, 0)
  t.is(processInfo(Number(scene.read('d.pid'))).umask, 0o013)
})

test('files_preserve', async t => {
  const scene = new Scene(t)
  scene.write('kept', '')
  const program = inline(
    scene,
    `const given = [null, 5, { fd: 5 }, undefined]
const before = [...given]
try { become({ preserve: given }) } finally { if (!process.env.DAEMONIC_START) tell('same', String(given.every((each, i) => each === before[i]))) }
tell('open', fs.readdirSync('/proc/self/fd').filter(fd => { try { return fs.readlinkSync('/proc/self/fd/' + fd).endsWith('/kept') } catch {} }).join())
setInterval(() => {}, 1e6)`,
  )
  const { code, stderr } = await scene.by('bash', '"$@" 5<kept 6<kept', program)
  t.is(code, 0, stderr)
  await scene.until('it has told', () => scene.exists('open') && scene.read('open') === '5\n')
  const other = new Scene(t)
  const notOpen = { code: 2, says: /The `preserve` option names descriptor 77, which is not open/ }
  const start = become(other, { preserve: [77] })
  await refused(t, other, start, notOpen)
})

test('attributes, open() and is_open', async t => {
  const scene = new Scene(t)
  const program = inline(
    scene,
    `const one = become({ chdir: '/' })
tell('told', String(daemonize() === one))
try { daemonize({ chdir: '/tmp' }) } catch (error) { tell('told', error.name + ' ' + error.code) }
setInterval(() => {}, 1e6)`,
  )
  await startProgram(scene, program)
  await scene.until(
    'it has told',
    () => scene.exists('told') && scene.read('told') === 'true\nOptionError ERR_DAEMON_OPTION\n',
  )
  const other = new Scene(t)
  const says = /Unknown option `chdri`; did you mean `chdir`\?/
  await refused(t, other, become(other, { chdri: '/' } as object), { code: 2, says })
})

test('close()', async t => {
  const scene = new Scene(t)
  const program = inline(
    scene,
    `const daemon = become()
process.on('SIGUSR1', async () => { daemon.pidFile.release(); tell('told', 'released ' + fs.existsSync(here + '/d.pid')) })
process.on('SIGUSR2', async () => { await daemon.close(); await daemon.close(); tell('told', 'closed ' + fs.existsSync(here + '/d.pid')) })
setInterval(() => {}, 1e6)`,
  )
  for (const [signal, said] of [
    ['SIGUSR1', 'released false\n'],
    ['SIGUSR2', 'closed false\n'],
  ] as const) {
    const pid = await startProgram(scene, program)
    process.kill(pid, signal)
    await scene.until('it has told', () => scene.exists('told') && scene.read('told') === said)
    t.true(scene.processes().includes(pid), 'the process goes on')
    t.is(PidLock.inspect(scene.path('d.pid')).state, 'absent')
    process.kill(pid, 'SIGKILL')
    await scene.empty()
    scene.remove('told')
  }
})

test('signal_map', async t => {
  const scene = new Scene(t)
  const program = inline(
    scene,
    `const daemon = become({ signals: {
  SIGUSR1: signal => tell('told', 'function ' + signal), SIGUSR2: 'ignore', SIGALRM: 'stop', SIGVTALRM: 'reload', SIGWINCH: 'reopen-logs' } })
daemon.onReload(() => tell('told', 'reload'))
daemon.onStop(signal => tell('told', 'stop ' + signal))
setInterval(() => {}, 1e6)`,
  )
  const pid = await startProgram(scene, program)
  const told = async (signal: NodeJS.Signals, text: string) => {
    process.kill(pid, signal)
    await scene.until(text, () => scene.exists('told') && scene.read('told').endsWith(`${text}\n`))
  }
  process.kill(pid, 'SIGUSR2')
  await told('SIGUSR1', 'function SIGUSR1')
  await told('SIGVTALRM', 'reload')
  await told('SIGALRM', 'stop SIGALRM')
  await scene.empty()
  t.notRegex(scene.read('told'), /USR2/)
})

for (const [what, signals, says] of [
  ['an unknown name', { SIGFOO: 'stop' }, /Unknown option `signals\.SIGFOO`/],
  ['CHLD', { SIGCHLD: 'ignore' }, /`signals\.SIGCHLD` option can't be set/],
  ['KILL', { SIGKILL: 'stop' }, /`signals\.SIGKILL` option can't be set/],
] as const) {
  test(`signal_map refuses ${what}`, async t => {
    const scene = new Scene(t)
    await refused(t, scene, become(scene, { signals } as object), { code: 2, says })
  })
}

test('terminate()', async t => {
  const scene = new Scene(t)
  const child = scene.spawnNode(become(scene, {}, `daemon.onStop(() => tell('stopped', 'yes'))`), { detach: 'false' })
  const end = finished(child)
  await scene.until('it runs', () => PidLock.inspect(scene.path('d.pid')).state === 'running')
  child.kill('SIGTERM')
  const { code, stderr } = await end
  t.is(code, 0)
  t.regex(stderr, /info: stopping on SIGTERM\n/)
  t.is(scene.read('stopped'), 'yes\n')
  t.false(scene.exists('d.pid'))
})

test('detach_process', async t => {
  for (const [detach, detached] of [
    [true, true],
    [false, false],
  ] as const) {
    const scene = new Scene(t)
    const child = scene.spawnNode(become(scene, { detach }, `tell('told', String(daemon.detached))`), {
      detach: 'auto',
    })
    await scene.until('it has told', () => scene.exists('told') && scene.read('told') === `${detached}\n`)
    t.is(Number(scene.read('d.pid')) === child.pid, !detached)
  }
})

test('pidfile', async t => {
  const scene = new Scene(t)
  const pid = await startProgram(scene, become(scene, {}))
  t.deepEqual(PidLock.inspect(scene.path('d.pid')), { state: 'running', pid, verified: true })
  const second = await scene.node(become(scene, {}))
  t.is(second.code, 1)
  t.regex(second.stderr, new RegExp(`^d: already running as pid ${pid} \\(.*d\\.pid\\)\\n$`))
  process.kill(pid, 'SIGKILL')
  await scene.empty()
  t.is(PidLock.inspect(scene.path('d.pid')).state, 'free', 'the kernel has freed it')
})

/** What can't be done, and how the launcher says so, though some of it fails in the daemon. */
const ERRORS: readonly (readonly [what: string, options: object, code: number, says: RegExp, root?: true])[] = [
  ['working directory', { chdir: '/missing/x' }, 1, /^cannot change to the directory \/missing\/x: ENOENT, /],
  ['root directory', { chroot: '/missing/x' }, 1, /^cannot change the root to \/missing\/x: ENOENT, /, true],
  ['limit', { limits: { foo: 1 } }, 2, /Unknown option `limits\.foo`/],
]

for (const [what, options, code, says, needsRoot] of ERRORS) {
  const asNeeded = needsRoot ? asRoot : test
  asNeeded(`the error of a ${what}`, async (t: ExecutionContext) => {
    const scene = new Scene(t)
    await refused(t, scene, become(scene, { log: 'ignore', ...options }), { code, says })
  })
}

asRoot('uid and gid', async t => {
  const scene = new Scene(t)
  scene.giveTo(NOBODY)
  const options = { user: NOBODY, group: NOBODY }
  const pid = await startProgram(scene, become(scene, options))
  const facts = readFileSync(`/proc/${pid}/status`, 'utf8')
  t.regex(facts, new RegExp(`^Uid:(\t${NOBODY}){4}$`, 'm'))
  t.regex(facts, new RegExp(`^Gid:(\t${NOBODY}){4}$`, 'm'))
  t.regex(facts, /^CapEff:\t0+$/m)
})

asRoot('the error of an owner', async t => {
  const scene = new Scene(t)
  scene.giveTo(NOBODY)
  const start: Program = become(scene, { user: 0, log: 'ignore' })
  await refused(t, scene, start, { run: { uid: NOBODY, gid: NOBODY }, says: /cannot (take|set) the .*EPERM/ })
})
