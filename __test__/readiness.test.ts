// When a daemon is ready: `ready: 'auto'` and 'loaded', and what a slow start says.
import { symlinkSync } from 'node:fs'
import { createConnection } from 'node:net'
import test from 'ava'
import { type DaemonizeOptions, PidLock, reload, stop } from 'daemonic'
import type { Programs } from './fixtures/readiness.js'
import { launchOnce } from './support/launching.js'
import { LIBRARY, startProgram } from './support/program.js'
import { fixture, programs, Scene } from './support/scene.js'

const program = programs<Programs>('readiness')
const HTTP: DaemonizeOptions = { listen: { http: './http.sock' } }

const FAILING: Record<string, DaemonizeOptions> = {
  'one process': {},
  'one process with sockets': HTTP,
  'one process, where its main module decides': { ...HTTP, ready: 'loaded' },
  'two workers': { ...HTTP, workers: 2, monitor: { restart: 'no' } },
}

for (const [what, options] of Object.entries(FAILING)) {
  test(`a program that fails after its call, before it serves, is a failed start: ${what}`, async t => {
    const scene = new Scene(t)
    const { code, stderr } = await scene.node(program('failsAfterItsCall', options))
    t.is(code, 1)
    t.regex(stderr, /no database/)
    await scene.empty()
    t.deepEqual(
      scene.files().filter(name => name !== 'd.log'),
      [],
    )
  })
}

test('without sockets, ready is when the main module has been evaluated, which happens once', async t => {
  const scene = new Scene(t)
  await startProgram(scene, program('awaitsAfterItsCall', {}, 300))
  t.true(scene.exists('ready'))
  t.is(scene.read('runs'), 'x\nx\n', 'in the launcher and in the daemon')
})

for (const flags of [
  [],
  ['--preserve-symlinks-main'],
  ['--preserve-symlinks', '--preserve-symlinks-main'],
  ['--import', fixture('modules/preloaded-slowly')],
  ['--import', fixture('modules/preloaded-with-hooks')],
  ['--no-warnings', '--loader', fixture('modules/slow-hooks')],
]) {
  test(`a main module is never evaluated again to find out: node ${flags.map(flag => flag.replace(/.*\//, '')).join(' ')}`, async t => {
    const scene = new Scene(t)
    const link = scene.path('link.js')
    symlinkSync(fixture('scripts/awaits-as-itself'), link)
    await startProgram(scene, [link], { execArgv: flags, env: { LIBRARY } })
    await scene.until('it has been evaluated', () => scene.exists('ready'))
    t.is(scene.read('runs'), 'launcher\ndaemon\n')
  })
}

test('a call of daemonize() does not make the readiness of a launched program weaker', async t => {
  const scene = new Scene(t)
  const { wasReady } = await launchOnce(scene, program('awaitsAfterItsCall', {}, 300))
  t.true(wasReady)
  t.is(scene.read('runs'), 'x\n')
})

const SERVING = {
  'serve() listens': program('servesAfter', HTTP, 200),
  'each of two listens': program('servesAfter', { listen: { http: './http.sock', other: './o.sock' } }, 200),
  'a server of its own listens on the address': program('listensByItself', HTTP, 'http.sock'),
  'a server of its own listens on the descriptor': program('listensOnTheDescriptor', HTTP),
  'a socket of its own is bound to the descriptor': program('bindsTheDescriptor', {
    listen: { udp: { port: 0, host: '127.0.0.1', udp: true } },
  }),
} as const

for (const [what, serving] of Object.entries(SERVING)) {
  test(`with sockets, ready is when ${what}, though the main module still awaits`, async t => {
    const scene = new Scene(t)
    await startProgram(scene, serving)
    t.true(scene.exists('ready'))
  })
}

test('a socket that only a child serves: the main module decides', async t => {
  const scene = new Scene(t)
  await startProgram(scene, program('awaitsAfterItsCall', { ...HTTP, ready: 'loaded' }, 300))
  t.true(scene.exists('ready'))
})

test('a launched program is ready when its socket is served', async t => {
  const scene = new Scene(t)
  const { wasReady } = await launchOnce(scene, program('listensByItself', {}, 'http.sock'), {
    listen: { http: scene.path('http.sock') },
  })
  t.true(wasReady)
})

// ── What a slow start says ───────────────────────────────────────────────────────────────

const SLOW: Record<string, { options?: DaemonizeOptions; says: RegExp }> = {
  'the main module awaits': { says: /the main module still awaits; daemon\.ready\(\)/ },
  'a socket is not served': { options: HTTP, says: /nobody serves `http` yet\. .*daemon\.ready\(\)/ },
  'a socket is not served by workers': { options: { ...HTTP, workers: 2 }, says: /nobody serves `http` yet/ },
  'ready() is not called': { options: { ready: 'manual' }, says: /daemon\.ready\(\) has not been called/ },
}

for (const [what, { options = {}, says }] of Object.entries(SLOW)) {
  test(`the launcher says what it waits for, and the error at startTimeout too: ${what}`, async t => {
    const scene = new Scene(t)
    const more = { ...options, startTimeout: 5_000 }
    const { code, stderr } = await scene.node(program('awaitsAfterItsCall', more, 100_000))
    t.is(code, 124)
    const [first = '', ...rest] = stderr.split('\n')
    t.regex(first, /^d: not ready yet: /)
    t.regex(first, says)
    t.regex(rest.join('\n'), /was not ready after 5000 ms and was ended: /)
    t.regex(rest.join('\n'), says)
    await scene.empty()
  })
}

test('a program that listens elsewhere hears on which port', async t => {
  const scene = new Scene(t)
  const { stderr } = await scene.node(program('listensByItself', { ...HTTP, startTimeout: 4_500 }, 0))
  t.regex(stderr, /nobody serves `http` yet; the program listens on port \d+\./)
})

test('launch() prints nothing; its error says it', async t => {
  const scene = new Scene(t)
  const { error } = await launchOnce(scene, program('awaitsAfterItsCall', {}, 100_000), { startTimeout: 4_500 })
  t.regex(error?.message ?? '', /was ended: the main module still awaits/)
})

// ── Reload ───────────────────────────────────────────────────────────────────────────────

test('a reload to workers that find their database gone fails, and the old ones serve on', async t => {
  const scene = new Scene(t)
  await startProgram(scene, program('servesUnlessBroken', { ...HTTP, workers: 2, startTimeout: 20_000 }))
  scene.write('broken', '')
  await t.throwsAsync(reload(scene.path('d.pid')))
  const answer = await new Promise<string>((resolve, reject) => {
    createConnection(scene.path('http.sock'))
      .on('data', data => resolve(String(data)))
      .on('error', reject)
  })
  t.regex(answer, /^\d+$/)
  t.is(PidLock.inspect(scene.path('d.pid')).state, 'running')
  await stop(scene.path('d.pid'))
})
