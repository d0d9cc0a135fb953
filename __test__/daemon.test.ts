// What a Daemon does once it is one: readiness, stopping, signals, its pid file.
import test from 'ava'
import { PidLock } from 'daemonic'
import { inForeground, program, runProgram, startProgram } from './support/program.js'
import { finished, Scene } from './support/scene.js'

const D = `const become = more => daemonize({ name: 'd', pidFile: './d.pid', log: './d.log', ...more })
const stay = () => setInterval(() => {}, 1_000_000)
`
const LINE = (pid: number | undefined, text: string) => new RegExp(`^[0-9T:.-]+Z d\\[${pid}\\] ${text}$`, 'm')

const lines = (scene: Scene, file: string) => scene.read(file).trimEnd().split('\n')

// ── Readiness ────────────────────────────────────────────────────────────────────────────

test('a launcher waits until a daemon says itself that it is ready', async t => {
  const scene = new Scene(t)
  const text = `${D}const daemon = become({ ready: 'manual' }); tell('booted', 'x')
const asked = setInterval(() => fs.existsSync(here + '/go') && (clearInterval(asked), daemon.ready(), daemon.ready('twice')), 10); stay()`
  const launcher = scene.spawn(process.execPath, [program(scene, text)])
  const end = finished(launcher)
  await scene.until('the daemon has booted', () => scene.exists('booted'))
  t.is(PidLock.inspect(scene.path('d.pid')).state, 'starting')
  t.is(launcher.exitCode, null)
  scene.write('go', '')
  t.is((await end).code, 0)
  t.is(PidLock.inspect(scene.path('d.pid')).state, 'running')
})

test('a daemon keeps no event loop alive: with nothing to do it ends, and leaves nothing', async t => {
  const scene = new Scene(t)
  const { code } = await runProgram(scene, `${D}become({ listen: { web: '127.0.0.1:0' } })`)
  t.is(code, 0)
  await scene.empty()
  t.deepEqual(scene.files(), ['d.log', 'program.mjs'])
})

test('what is printed before the call, in launcher and daemon, appears once where the output is inherited', async t => {
  const text = `console.log('before'); console.error('before, too')
daemonize({ stdout: 'inherit', stderr: 'inherit' })
console.log('after'); console.error('after, too')`
  const { code, stdout, stderr } = await runProgram(new Scene(t), text)
  t.is(stdout, 'before\nafter\n')
  t.is(stderr, 'before, too\nafter, too\n')
  t.is(code, 0)
})

test('a second call gives the same daemon, and refuses options', async t => {
  const scene = new Scene(t)
  const text = `const one = daemonize(); const two = daemonize()
try { daemonize({}) } catch ({ name, code, option }) { tell('told', JSON.stringify([one === two, name, code, option])) }`
  t.is((await runProgram(scene, text)).code, 0)
  await scene.empty()
  t.deepEqual(JSON.parse(scene.read('told')), [true, 'OptionError', 'ERR_DAEMON_OPTION', 'options'])
})

test('its status is its title, in one line', async t => {
  const scene = new Scene(t)
  const pid = await startProgram(scene, `${D}become().setStatus('serving 3 clients\\n  and a half'); stay()`)
  const { stdout } = await scene.run('ps', ['-o', 'args=', '-p', String(pid)])
  t.is(stdout.trim(), 'd: serving 3 clients and a half')
})

// ── Stopping ─────────────────────────────────────────────────────────────────────────────

const HOOKS = `const hook = name => daemon.onStop(async signal => { await null; tell('hooks', name + ' ' + signal) })\n`

test('TERM runs the stop hooks, the last added first, says so, and exits with 0', async t => {
  const scene = new Scene(t)
  const text = `${D}const daemon = become(); ${HOOKS} hook('first'); hook('second'); stay()`
  const { child, end } = await inForeground(scene, text)
  child.kill('SIGTERM')
  const { code, stderr } = await end
  t.is(code, 0)
  t.regex(stderr, LINE(child.pid, 'info: stopping on SIGTERM'))
  t.deepEqual(lines(scene, 'hooks'), ['second SIGTERM', 'first SIGTERM'])
})

test('of a daemon that has detached, the log tells of the stop, and the pid file goes', async t => {
  const scene = new Scene(t)
  const pid = await startProgram(scene, `${D}become(); stay()`)
  t.true(scene.exists('d.json'))
  process.kill(pid, 'SIGTERM')
  await scene.empty()
  t.regex(scene.read('d.log'), LINE(pid, 'info: stopping on SIGTERM'))
  t.deepEqual(scene.files(), ['d.log', 'program.mjs'])
})

test('a stop hook that fails is logged, keeps no other from running, and makes the exit code 1', async t => {
  const scene = new Scene(t)
  const text = `${D}const daemon = become(); ${HOOKS} hook('first'); daemon.onStop(() => { throw new Error('broken') }); stay()`
  const { child, end } = await inForeground(scene, text)
  child.kill('SIGTERM')
  const { code, stderr } = await end
  t.is(code, 1)
  t.regex(stderr, LINE(child.pid, 'error: a stop hook failed: Error: broken'))
  t.deepEqual(lines(scene, 'hooks'), ['first SIGTERM'])
})

for (const [second, code] of [
  ['SIGTERM', 143],
  ['SIGINT', 130],
] as const) {
  test(`${second} while it stops ends it at once with ${code}`, async t => {
    const scene = new Scene(t)
    const text = `${D}become().onStop(() => { tell('stopping', 'x'); return new Promise(() => {}) }); stay()`
    const { child, end } = await inForeground(scene, text)
    child.kill('SIGTERM')
    await scene.until('it is stopping', () => scene.exists('stopping'))
    child.kill(second)
    const result = await end
    t.is(result.code, code)
    t.regex(result.stderr, LINE(child.pid, `warning: ${second} while stopping: exiting at once`))
    t.false(scene.exists('d.pid'))
  })
}

test('a stop that takes longer than the stop timeout is ended with 1', async t => {
  const scene = new Scene(t)
  const text = `${D}become({ stopTimeout: 300 }).onStop(() => new Promise(() => {})); stay()`
  const { child, end } = await inForeground(scene, text)
  child.kill('SIGTERM')
  const { code, stderr } = await end
  t.is(code, 1)
  t.regex(stderr, LINE(child.pid, 'error: still stopping after 300 ms: exiting'))
  t.false(scene.exists('d.pid'))
})

test('stop() runs the hooks and exits with the code that it is given', async t => {
  const scene = new Scene(t)
  const text = `${D}const daemon = become(); ${HOOKS} hook('only'); process.once('SIGUSR2', () => daemon.stop(3)); stay()`
  const { child, end } = await inForeground(scene, text)
  child.kill('SIGUSR2')
  t.is((await end).code, 3)
  t.deepEqual(lines(scene, 'hooks'), ['only null'])
})

const ABORTED: Record<string, string> = {
  'nobody handles': `delay(1_000_000, null, { signal: daemon.stopping })`,
  'a top-level await throws': `await delay(1_000_000, null, { signal: daemon.stopping })`,
  'a callback throws': `daemon.stopping.addEventListener('abort', () => setImmediate(() => { throw daemon.stopping.reason })); stay()`,
}

for (const [what, text] of Object.entries(ABORTED)) {
  test(`an AbortError of its \`stopping\` signal that ${what} is no failure`, async t => {
    const scene = new Scene(t)
    const { child, end } = await inForeground(
      scene,
      `import { setTimeout as delay } from 'node:timers/promises'
${D}const daemon = become(); daemon.onStop(() => delay(50)); daemon.onStop(() => tell('aborted', String(daemon.stopping.aborted)))
${text}`,
    )
    child.kill('SIGTERM')
    const { code, stderr } = await end
    t.is(code, 0, stderr)
    t.is(stderr.trimEnd().split('\n').length, 1, stderr)
    t.is(scene.read('aborted'), 'true\n')
  })
}

for (const [what, text] of [
  ['an error that nobody catches', `setImmediate(() => { throw new Error('another') })`],
  ['a rejection that nobody handles', `Promise.reject(new Error('another'))`],
]) {
  test(`${what} while it stops is a failure`, async t => {
    const scene = new Scene(t)
    const text2 = `${D}become().onStop(() => { ${text}; return new Promise(() => {}) }); stay()`
    const { child, end } = await inForeground(scene, text2)
    child.kill('SIGTERM')
    const { code, stderr } = await end
    t.is(code, 1)
    t.regex(stderr, /Error: another/)
    t.false(scene.exists('d.pid'))
  })
}

// ── The pid file ─────────────────────────────────────────────────────────────────────────

const ENDS: Record<string, string> = {
  'calls process.exit()': 'process.exit(5)',
  'comes to its natural end': '',
  'throws what nobody catches': `throw new Error('later')`,
  'rejects what nobody handles': `Promise.reject(new Error('later'))`,
}

for (const [what, does] of Object.entries(ENDS)) {
  test(`a daemon that ${what} removes its pid file`, async t => {
    const scene = new Scene(t)
    const text = `${D}become(); const staying = stay(); process.once('SIGUSR2', () => { clearInterval(staying); ${does} })`
    const pid = await startProgram(scene, text)
    t.true(scene.exists('d.json'))
    process.kill(pid, 'SIGUSR2')
    await scene.empty()
    t.deepEqual(scene.files(), ['d.log', 'program.mjs'])
  })
}

test('a daemon that is killed leaves a pid file that nobody holds, and the next one takes it over', async t => {
  const scene = new Scene(t)
  const first = await startProgram(scene, `${D}become(); stay()`)
  process.kill(first, 'SIGKILL')
  await scene.empty()
  t.is(scene.read('d.pid'), `${first}\n`)
  t.is(PidLock.inspect(scene.path('d.pid')).state, 'free')
  const second = await startProgram(scene, `${D}become(); stay()`)
  t.deepEqual(PidLock.inspect(scene.path('d.pid')), { state: 'running', pid: second, verified: true })
})

// ── Signals ──────────────────────────────────────────────────────────────────────────────

test('a signal does what `signals` says', async t => {
  const scene = new Scene(t)
  const signals = `{ SIGHUP: 'ignore', SIGUSR2: name => tell('heard', name), SIGINT: 'reload', SIGTERM: 'default' }`
  const text = `${D}become({ signals: ${signals} }).onReload(() => tell('heard', 'reload')); stay()`
  const { child, end } = await inForeground(scene, text)
  for (const signal of ['SIGHUP', 'SIGUSR2'] as const) child.kill(signal)
  await scene.until('it has heard USR2', () => scene.exists('heard'))
  child.kill('SIGINT')
  await scene.until('it has heard INT', () => lines(scene, 'heard').length === 2)
  t.deepEqual(lines(scene, 'heard'), ['SIGUSR2', 'reload'])
  child.kill('SIGTERM')
  t.is((await end).signal, 'SIGTERM')
})

for (const signal of ['SIGTERM', 'SIGINT', 'SIGQUIT'] as const) {
  test(`${signal} stops a daemon unless told otherwise`, async t => {
    const scene = new Scene(t)
    const pid = await startProgram(scene, `${D}become(); stay()`)
    process.kill(pid, signal)
    await scene.empty()
    t.regex(scene.read('d.log'), LINE(pid, `info: stopping on ${signal}`))
  })
}
