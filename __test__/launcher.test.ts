// The launcher, as whoever runs it sees it: its output, its exit code, its errors.
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { probe } from './support/probe.js'
import { LIBRARY, program, runProgram, startProgram } from './support/program.js'
import { finished, Scene } from './support/scene.js'

const STAY = 'setInterval(() => {}, 1_000_000)'
/** More than any pipe or socket buffers. */
const MUCH = 1_000_000
const NUMBERS = `const numbers = Array.from({ length: ${MUCH / 10} }, (_, index) => String(index).padStart(9, '0') + '\\n').join('')\n`
const numbers = Array.from({ length: MUCH / 10 }, (_, index) => `${String(index).padStart(9, '0')}\n`).join('')

// ── Output ───────────────────────────────────────────────────────────────────────────────

const PRINTERS: Record<string, string> = {
  'in one piece': 'process.stdout.write(numbers)',
  'in many pieces': `for (const line of numbers.split(/(?<=\\n)/)) process.stdout.write(line)`,
}

for (const [what, print] of Object.entries(PRINTERS)) {
  test(`what a launcher printed ${what} is read whole and once, by a reader that starts late`, async t => {
    const scene = new Scene(t)
    const launcher = scene.spawn(process.execPath, [
      program(scene, `${NUMBERS} tell('printing', 'x'); ${print}; daemonize(); ${STAY}`),
    ])
    await scene.until('it prints', () => scene.exists('printing'))
    const { code, stdout, stderr } = await finished(launcher)
    t.is(code, 0, stderr)
    t.true(stdout === numbers, `${stdout.length} of ${MUCH} characters`)
  })

  test(`the same ${what} through a shell’s pipe`, async t => {
    const scene = new Scene(t)
    const path = program(scene, `${NUMBERS} tell('printing', 'x'); ${print}; daemonize(); ${STAY}`)
    const reader = 'until [ -e go ]; do sleep 0.01; done; cat'
    const pipe = scene.run('sh', ['-c', `"$0" "$1" | (${reader}) > out`, process.execPath, path])
    await scene.until('it prints', () => scene.exists('printing'))
    scene.write('go', '')
    await pipe
    t.true(scene.read('out') === numbers, `${scene.read('out').length} of ${MUCH} characters`)
  })
}

test('what was printed before the library was even loaded is read whole', async t => {
  const scene = new Scene(t)
  // require(), which gives the event loop no time to write what the pipe did not take at once.
  const text = `${NUMBERS}process.stdout.write(numbers); require('${fileURLToPath(LIBRARY)}').daemonize(); ${STAY}`
  const { code, stdout, stderr } = await scene.node(scene.write('program.cjs', text))
  t.is(code, 0, stderr)
  t.true(stdout === numbers, `${stdout.length} of ${MUCH} characters`)
})

test('a launcher’s streams are closed when it has ended, though its daemon lives', async t => {
  const scene = new Scene(t)
  const launcher = scene.spawn(process.execPath, [program(scene, `daemonize({ pidFile: './d.pid' }); ${STAY}`)])
  const closed = new Promise<void>(resolve => launcher.once('close', () => resolve()))
  launcher.stdout?.resume()
  launcher.stderr?.resume()
  await closed
  t.deepEqual(scene.processes(), [Number(scene.read('d.pid'))])
})

test('the `exit` listeners of a launcher do not run when the daemon is ready; those of the daemon do when it ends', async t => {
  const scene = new Scene(t)
  const text = `process.on('exit', code => tell('exits', process.pid + ' ' + code)); daemonize({ pidFile: './d.pid' }); ${STAY}`
  const pid = await startProgram(scene, text)
  t.false(scene.exists('exits'))
  process.kill(pid, 'SIGTERM')
  await scene.empty()
  t.is(scene.read('exits'), `${pid} 0\n`)
})

// ── Errors ───────────────────────────────────────────────────────────────────────────────

const TAKEN = `daemonize({ name: 'd', pidFile: './d.pid' })`

test('an AlreadyRunningError can be caught, and tells who runs', async t => {
  const scene = new Scene(t)
  const { pid } = await probe(scene, { pidFile: './d.pid' })
  const text = `try { ${TAKEN} } catch (error) {
  const known = error instanceof daemonic.AlreadyRunningError && error instanceof daemonic.DaemonError
  console.log(JSON.stringify({ known, name: error.name, code: error.code, pid: error.pid, path: error.path, exitCode: error.exitCode }))
}`
  const { code, stdout, stderr } = await runProgram(scene, text)
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
  const text = `try { daemonize({ name: 'd' }); console.error('no database'); process.exit(7) } catch (error) {
  const { name, code, exitCode, signal, stderr } = error
  console.log(JSON.stringify({ name, code, exitCode, signal, stderr }))
}`
  const { code, stdout } = await runProgram(new Scene(t), text)
  const what = { name: 'StartError', code: 'ERR_DAEMON_START', exitCode: 7, signal: null, stderr: 'no database\n' }
  t.deepEqual(JSON.parse(stdout), what)
  t.is(code, 0)
})

test('a SystemCallError tells which system call failed, at which step, on which path', async t => {
  const scene = new Scene(t)
  const text = `try { daemonize({ chdir: './missing' }); ${STAY} } catch (error) {
  const { name, code, errno, syscall, step, path, exitCode } = error
  console.log(JSON.stringify({ name, code, errno, syscall, step, path, exitCode }))
}`
  const { stdout } = await runProgram(scene, text)
  const what = { name: 'SystemCallError', code: 'ENOENT', errno: 2, syscall: 'chdir', step: 'chdir', exitCode: 1 }
  t.deepEqual(JSON.parse(stdout), { ...what, path: scene.path('missing') })
})

const CALLERS: Record<string, string> = {
  'at the top level': TAKEN,
  'in an async function': `async function main() { await null; ${TAKEN} } main()`,
  'in a callback': `setTimeout(() => { ${TAKEN} })`,
}

for (const [where, text] of Object.entries(CALLERS)) {
  test(`an error that nobody catches ${where} is one paragraph without a stack, and its exit code the launcher’s`, async t => {
    const scene = new Scene(t)
    const { pid } = await probe(scene, { pidFile: './d.pid' })
    const { code, stdout, stderr } = await runProgram(scene, text)
    t.is(stderr, `d: already running as pid ${pid} (${scene.path('d.pid')})\n`)
    t.is(stdout, '')
    t.is(code, 1)
  })
}

test('so it is in a CommonJS program', async t => {
  const scene = new Scene(t)
  const { pid } = await probe(scene, { pidFile: './d.pid' })
  const text = `import('${LIBRARY}').then(({ daemonize }) => ${TAKEN})`
  const { code, stderr } = await scene.node(scene.write('program.cjs', text))
  t.is(stderr, `d: already running as pid ${pid} (${scene.path('d.pid')})\n`)
  t.is(code, 1)
})

test('an OptionError keeps its stack, which shows the line to mend', async t => {
  const { code, stderr } = await runProgram(new Scene(t), `daemonize({ umask: '022' })`)
  t.regex(stderr, /^OptionError: Expected the `umask` option/m)
  t.regex(stderr, /^ {4}at .*program\.mjs/m)
  t.not(code, 0)
})

test('a program that handles uncaught errors itself is given ours', async t => {
  const scene = new Scene(t)
  await probe(scene, { pidFile: './d.pid' })
  const text = `process.on('uncaughtException', error => { console.log(error.code); process.exit(42) }); ${TAKEN}`
  const { code, stdout, stderr } = await runProgram(scene, text)
  t.is(stdout, 'ERR_DAEMON_RUNNING\n')
  t.is(stderr, '')
  t.is(code, 42)
})

test('after an error of ours was caught, another one crashes as ever', async t => {
  const scene = new Scene(t)
  await probe(scene, { pidFile: './d.pid' })
  for (const crash of [`throw new Error('later')`, `setTimeout(() => { throw new Error('later') }, 5)`]) {
    const { code, stderr } = await runProgram(scene, `try { ${TAKEN} } catch {}\n${crash}`)
    t.regex(stderr, /^Error: later\n {4}at /m)
    t.is(code, 1)
  }
})
