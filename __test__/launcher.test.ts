// The launcher, as whoever runs it sees it: its output, its exit code, its errors.
import test from 'ava'
import type { Programs } from './fixtures/launchers.js'
import { probe } from './support/probe.js'
import { startProgram } from './support/program.js'
import { finished, fixture, type Program, programs, Scene } from './support/scene.js'

const launchers = programs<Programs>('launchers')

/** More than any pipe or socket buffers. */
const MUCH = 1_000_000
const LINES = MUCH / 10
const numbers = Array.from({ length: LINES }, (_, index) => `${String(index).padStart(9, '0')}\n`).join('')

// ── Output ───────────────────────────────────────────────────────────────────────────────

for (const what of ['in one piece', 'in many pieces'] as const) {
  test(`what a launcher printed ${what} is read whole and once, by a reader that starts late`, async t => {
    const scene = new Scene(t)
    const launcher = scene.spawnNode(launchers('printsMuch', LINES, what))
    await scene.until('it prints', () => scene.exists('printing'))
    const { code, stdout, stderr } = await finished(launcher)
    t.is(code, 0, stderr)
    t.true(stdout === numbers, `${stdout.length} of ${MUCH} characters`)
  })

  test(`the same ${what} through a shell’s pipe`, async t => {
    const scene = new Scene(t)
    const reader = 'until [ -e go ]; do sleep 0.01; done; cat'
    const pipe = scene.by('sh', `"$@" | (${reader}) > out`, launchers('printsMuch', LINES, what))
    await scene.until('it prints', () => scene.exists('printing'))
    scene.write('go', '')
    await pipe
    t.true(scene.read('out') === numbers, `${scene.read('out').length} of ${MUCH} characters`)
  })
}

test('what was printed before the library was even loaded is read whole', async t => {
  const scene = new Scene(t)
  const printing = [fixture('scripts/prints-before-it-requires', 'cjs'), String(LINES)] as const
  const { code, stdout, stderr } = await scene.node(printing)
  t.is(code, 0, stderr)
  t.true(stdout === numbers, `${stdout.length} of ${MUCH} characters`)
})

test('what was printed before a start that fails is read whole, too', async t => {
  const scene = new Scene(t)
  const launcher = scene.spawnNode(launchers('printsMuchAndFails', LINES))
  await scene.until('it prints', () => scene.exists('printing'))
  const { code, stdout, stderr } = await finished(launcher)
  t.is(code, 1)
  t.is(stdout.length, MUCH)
  t.regex(stderr, /missing/)
})

test('a program that merely imports the library goes on while its pipe is full', async t => {
  const scene = new Scene(t)
  const printing = scene.spawnNode(launchers('turnsWhilePrinting', LINES))
  await scene.until('its event loop has turned', () => scene.exists('turned'))
  const { code, stdout } = await finished(printing)
  t.is(code, 0)
  t.is(stdout.length, MUCH)
})

test('a launcher’s streams are closed when it has ended, though its daemon lives', async t => {
  const scene = new Scene(t)
  const launcher = scene.spawnNode(launchers('stays', { pidFile: './d.pid' }))
  const closed = new Promise<void>(resolve => launcher.once('close', () => resolve()))
  launcher.stdout?.resume()
  launcher.stderr?.resume()
  await closed
  t.deepEqual(scene.processes(), [Number(scene.read('d.pid'))])
})

test('the `exit` listeners of a launcher do not run when the daemon is ready; those of the daemon do when it ends', async t => {
  const scene = new Scene(t)
  const pid = await startProgram(scene, launchers('tellsItsExit'))
  t.false(scene.exists('exits'))
  process.kill(pid, 'SIGTERM')
  await scene.empty()
  t.is(scene.read('exits'), `${pid} 0\n`)
})

// ── Errors ───────────────────────────────────────────────────────────────────────────────

const TAKEN = { name: 'd', pidFile: './d.pid' }

test('an AlreadyRunningError can be caught, and tells who runs', async t => {
  const scene = new Scene(t)
  const { pid } = await probe(scene, { pidFile: './d.pid' })
  const { code, stdout, stderr } = await scene.node(launchers('catches', TAKEN, {}))
  const expected = {
    known: true,
    name: 'AlreadyRunningError',
    code: 'ERR_DAEMON_RUNNING',
    pid,
    path: scene.path('d.pid'),
  }
  t.deepEqual(JSON.parse(stdout), { ...expected, exitCode: 1 })
  t.is(stderr, '')
  t.is(code, 0)
})

test('a StartError tells how the daemon ended, and what it wrote', async t => {
  const fields = ['name', 'code', 'exitCode', 'signal', 'stderr']
  const failing = launchers('catches', { name: 'd' }, { says: 'no database', exits: 7 }, fields)
  const { code, stdout } = await new Scene(t).node(failing)
  const what = { name: 'StartError', code: 'ERR_DAEMON_START', exitCode: 7, signal: null, stderr: 'no database\n' }
  t.deepEqual(JSON.parse(stdout), what)
  t.is(code, 0)
})

test('a SystemCallError tells which system call failed, at which step, on which path', async t => {
  const scene = new Scene(t)
  const fields = ['name', 'code', 'errno', 'syscall', 'step', 'path', 'exitCode']
  const { stdout } = await scene.node(launchers('catches', { chdir: './missing' }, {}, fields))
  const what = { name: 'SystemCallError', code: 'ENOENT', errno: 2, syscall: 'chdir', step: 'chdir', exitCode: 1 }
  t.deepEqual(JSON.parse(stdout), { ...what, path: scene.path('missing') })
})

const CALLERS: Record<string, Program> = {
  'at the top level': [fixture('scripts/takes-d')],
  'in an async function': launchers('startsIn', 'an async function'),
  'in a callback': launchers('startsIn', 'a callback'),
}

for (const [where, starting] of Object.entries(CALLERS)) {
  test(`an error that nobody catches ${where} is one paragraph without a stack, and its exit code the launcher’s`, async t => {
    const scene = new Scene(t)
    const { pid } = await probe(scene, { pidFile: './d.pid' })
    const { code, stdout, stderr } = await scene.node(starting)
    t.is(stderr, `d: already running as pid ${pid} (${scene.path('d.pid')})\n`)
    t.is(stdout, '')
    t.is(code, 1)
  })
}

test('so it is in a CommonJS program', async t => {
  const scene = new Scene(t)
  const { pid } = await probe(scene, { pidFile: './d.pid' })
  const { code, stderr } = await scene.node(fixture('scripts/takes-d-as-commonjs', 'cjs'))
  t.is(stderr, `d: already running as pid ${pid} (${scene.path('d.pid')})\n`)
  t.is(code, 1)
})

test('an OptionError shows the line to mend', async t => {
  const { code, stderr } = await new Scene(t).node(launchers('stays', { umask: '022' } as object))
  t.regex(stderr, /^OptionError: Expected the `umask` option/m)
  t.regex(stderr, /^ {4}at .*fixtures\/launchers\.js/m)
  t.true(Math.max(...stderr.split('\n').map(line => line.length)) < 500, 'no line of the bundle')
  t.is(code, 2)
})

test('a program that handles uncaught errors itself is given ours', async t => {
  const scene = new Scene(t)
  await probe(scene, { pidFile: './d.pid' })
  const { code, stdout, stderr } = await scene.node(launchers('handlesUncaughtErrorsItself'))
  t.is(stdout, 'ERR_DAEMON_RUNNING\n')
  t.is(stderr, '')
  t.is(code, 42)
})

test('after an error of ours was caught, another one crashes as ever', async t => {
  const scene = new Scene(t)
  await probe(scene, { pidFile: './d.pid' })
  for (const how of ['at once', 'in a callback'] as const) {
    const { code, stderr } = await scene.node(launchers('crashesAfterACaughtError', how))
    t.regex(stderr, /^Error: later\n {4}at /m)
    t.is(code, 1)
  }
})
