// What a Daemon does once it is one: readiness, stopping, signals, its pid file.
import test from 'ava'
import { PidLock } from 'daemonic'
import type { Programs } from './fixtures/daemon.js'
import type { End } from './fixtures/programs.js'
import { inForeground, isReadyAtGo, startProgram } from './support/program.js'
import { programs, Scene } from './support/scene.js'

const program = programs<Programs>('daemon')
const LINE = (pid: number | undefined, text: string) => new RegExp(`^[0-9T:.-]+Z d\\[${pid}\\] ${text}$`, 'm')

const lines = (scene: Scene, file: string) => scene.read(file).trimEnd().split('\n')

// ── Readiness ────────────────────────────────────────────────────────────────────────────

test('a launcher waits until a daemon says itself that it is ready', async t => {
  await isReadyAtGo(t, new Scene(t), program('isReadyAtGo'), 'booted')
})

test('a daemon keeps no event loop alive: with nothing to do it ends, and leaves nothing', async t => {
  const scene = new Scene(t)
  const { code } = await scene.node(program('hasNothingToDo', { listen: { web: '127.0.0.1:0' }, ready: 'loaded' }))
  t.is(code, 0)
  await scene.empty()
  t.deepEqual(scene.files(), ['d.log'])
})

test('what is printed before the call, in launcher and daemon, appears once where the output is inherited', async t => {
  const { code, stdout, stderr } = await new Scene(t).node(program('printsBeforeAndAfterTheCall'))
  t.is(stdout, 'before\nafter\n')
  t.is(stderr, 'before, too\nafter, too\n')
  t.is(code, 0)
})

test('a second call gives the same daemon, and refuses options', async t => {
  const scene = new Scene(t)
  t.is((await scene.node(program('callsAgain'))).code, 0)
  await scene.empty()
  t.deepEqual(JSON.parse(scene.read('told')), [true, 'OptionError', 'ERR_DAEMON_OPTION', 'options'])
})

test('its status is its title, in one line', async t => {
  const scene = new Scene(t)
  const pid = await startProgram(scene, program('saysItsStatus', 'serving 3 clients\n  and a half'))
  const { stdout } = await scene.run('ps', ['-o', 'args=', '-p', String(pid)])
  t.is(stdout.trim(), 'd: serving 3 clients and a half')
})

// ── Stopping ─────────────────────────────────────────────────────────────────────────────

test('TERM runs the stop hooks, the last added first, says so, and exits with 0', async t => {
  const scene = new Scene(t)
  const { child, end } = await inForeground(scene, program('hasStopHooks', ['first', 'second']))
  child.kill('SIGTERM')
  const { code, stderr } = await end
  t.is(code, 0)
  t.regex(stderr, LINE(child.pid, 'info: stopping on SIGTERM'))
  t.deepEqual(lines(scene, 'hooks'), ['second SIGTERM', 'first SIGTERM'])
})

test('of a daemon that has detached, the log tells of the stop, and the pid file goes', async t => {
  const scene = new Scene(t)
  const pid = await startProgram(scene, program('stays'))
  t.true(scene.exists('d.json'))
  process.kill(pid, 'SIGTERM')
  await scene.empty()
  t.regex(scene.read('d.log'), LINE(pid, 'info: stopping on SIGTERM'))
  t.deepEqual(scene.files(), ['d.log'])
})

test('a stop hook that fails is logged, keeps no other from running, and makes the exit code 1', async t => {
  const scene = new Scene(t)
  const { child, end } = await inForeground(scene, program('hasAStopHookThatFails'))
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
    const { child, end } = await inForeground(scene, program('neverStops'))
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
  const { child, end } = await inForeground(scene, program('neverStops', { stopTimeout: 300 }))
  child.kill('SIGTERM')
  const { code, stderr } = await end
  t.is(code, 1)
  t.regex(stderr, LINE(child.pid, 'error: still stopping after 300 ms: exiting'))
  t.false(scene.exists('d.pid'))
})

test('stop() runs the hooks and exits with the code that it is given', async t => {
  const scene = new Scene(t)
  const { child, end } = await inForeground(scene, program('stopsItselfOnUsr2', 3))
  child.kill('SIGUSR2')
  t.is((await end).code, 3)
  t.deepEqual(lines(scene, 'hooks'), ['only null'])
})

for (const what of ['nobody handles', 'a top-level await throws', 'a callback throws'] as const) {
  test(`an AbortError of its \`stopping\` signal that ${what} is no failure`, async t => {
    const scene = new Scene(t)
    const { child, end } = await inForeground(scene, program('isAborted', what))
    child.kill('SIGTERM')
    const { code, stderr } = await end
    t.is(code, 0, stderr)
    t.is(stderr.trimEnd().split('\n').length, 1, stderr)
    t.is(scene.read('aborted'), 'true\n')
  })
}

for (const what of ['an error that nobody catches', 'a rejection that nobody handles'] as const) {
  test(`${what} while it stops is a failure`, async t => {
    const scene = new Scene(t)
    const { child, end } = await inForeground(scene, program('failsWhileItStops', what))
    child.kill('SIGTERM')
    const { code, stderr } = await end
    t.is(code, 1)
    t.regex(stderr, /Error: another/)
    t.false(scene.exists('d.pid'))
  })
}

// ── The pid file ─────────────────────────────────────────────────────────────────────────

const ENDS: Record<string, End> = {
  'calls process.exit()': { exits: 5 },
  'comes to its natural end': {},
  'throws what nobody catches': { throws: 'later' },
  'rejects what nobody handles': { rejects: 'later' },
}

for (const [what, how] of Object.entries(ENDS)) {
  test(`a daemon that ${what} removes its pid file`, async t => {
    const scene = new Scene(t)
    const pid = await startProgram(scene, program('endsOnUsr2', how))
    t.true(scene.exists('d.json'))
    process.kill(pid, 'SIGUSR2')
    await scene.empty()
    t.deepEqual(scene.files(), ['d.log'])
  })
}

test('a daemon that is killed leaves a pid file that nobody holds, and the next one takes it over', async t => {
  const scene = new Scene(t)
  const first = await startProgram(scene, program('stays'))
  process.kill(first, 'SIGKILL')
  await scene.empty()
  t.is(scene.read('d.pid'), `${first}\n`)
  t.is(PidLock.inspect(scene.path('d.pid')).state, 'free')
  const second = await startProgram(scene, program('stays'))
  t.deepEqual(PidLock.inspect(scene.path('d.pid')), { state: 'running', pid: second, verified: true })
})

// ── Signals ──────────────────────────────────────────────────────────────────────────────

test('a signal does what `signals` says', async t => {
  const scene = new Scene(t)
  const { child, end } = await inForeground(scene, program('mapsSignals'))
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
    const pid = await startProgram(scene, program('stays'))
    process.kill(pid, signal)
    await scene.empty()
    t.regex(scene.read('d.log'), LINE(pid, `info: stopping on ${signal}`))
  })
}
