// Which program the daemon runs: the same one, as the launcher was started; and where that can't be.
import { chmodSync, mkdirSync, readlinkSync, symlinkSync } from 'node:fs'
import { fileURLToPath, pathToFileURL } from 'node:url'
import test from 'ava'
import type { Programs } from './fixtures/launchers.js'
import { freePort } from './support/listening.js'
import { probe } from './support/probe.js'
import { LIBRARY } from './support/program.js'
import { fixture, programs, Scene } from './support/scene.js'

const launchers = programs<Programs>('launchers')

// ── The same program ─────────────────────────────────────────────────────────────────────

test('a daemon has the arguments, flags and environment of its launcher', async t => {
  const scene = new Scene(t)
  scene.write('preload.mjs', 'globalThis.preloaded = true')
  scene.write('some.env', 'FROM_A_FILE=yes\n')
  const args = ['--port', '80', 'with space', '', '—ü—']
  const execArgv = ['--import', './preload.mjs', '--env-file', './some.env', '--stack-size=900', '--conditions=x']
  const daemon = await probe(scene, {}, { args, execArgv, env: { SOME: 'thing\nelse', EMPTY: '' } })
  t.deepEqual(daemon.argv, [process.execPath, fixture('probe'), ...args])
  t.deepEqual(daemon.execArgv, execArgv)
  t.is(daemon.env.SOME, 'thing\nelse')
  t.is(daemon.env.EMPTY, '')
  t.is(daemon.env.FROM_A_FILE, 'yes')
})

test('relative flags are found in the launcher’s directory, though the daemon works in /', async t => {
  const scene = new Scene(t)
  scene.write('preload.mjs', 'globalThis.preloaded = process.cwd()')
  const { code } = await scene.node(launchers('tellsItsPreload'), { execArgv: ['--import', './preload.mjs'] })
  t.is(code, 0)
  t.is(scene.read('told'), `${scene.directory},/\n`)
})

test('`env` adds variables to its environment and removes others, and our own are gone from it', async t => {
  const scene = new Scene(t)
  const options = { env: { ADDED: 'a=b', CHANGED: 'new', REMOVED: undefined }, listen: { web: '127.0.0.1:0' } }
  const run = { env: { CHANGED: 'old', REMOVED: 'old' } }
  const { stdout } = await scene.node(launchers('printsItsEnvironment', options), run)
  const seen: Record<string, string> = JSON.parse(stdout)
  t.is(seen.ADDED, 'a=b')
  t.is(seen.CHANGED, 'new')
  for (const name of ['REMOVED', 'DAEMONIC_START', 'LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES'])
    t.false(name in seen, name)
})

const SAYS_HELLO = `import('${pathToFileURL(fixture('scripts/says-hello'))}')`

test('a program that is found by a symbolic link, as in node_modules/.bin, is started again by it', async t => {
  const scene = new Scene(t)
  const path = scene.write('program.mjs', `#!/usr/bin/env node\n${SAYS_HELLO}\n`)
  chmodSync(path, 0o755)
  mkdirSync(scene.path('.bin'))
  symlinkSync('../program.mjs', scene.path('.bin/tool'))
  const { code, stdout, stderr } = await scene.run(scene.path('.bin/tool'), ['--verbose'])
  t.is(stdout, `hello from tool\n${scene.path('.bin/tool')},--verbose\n`, stderr)
  t.is(code, 0)
})

test('a program may be given as a directory, or without its extension', async t => {
  const scene = new Scene(t)
  mkdirSync(scene.path('app'))
  scene.write('app/index.js', SAYS_HELLO)
  for (const name of ['./app', './app/index']) {
    const { code, stdout, stderr } = await scene.run(process.execPath, [name])
    const path = scene.path(name)
    t.is(stdout, `hello from ${name === './app' ? 'app' : 'index'}\n${path}\n`, stderr)
    t.is(code, 0)
  }
})

test('a CommonJS program becomes a daemon too', async t => {
  const scene = new Scene(t)
  const { code, stdout } = await scene.node(scene.write('old.cjs', SAYS_HELLO))
  t.is(stdout, `hello from old\n${scene.path('old.cjs')}\n`)
  t.is(code, 0)
})

test('a debugger’s port is the daemon’s once the launcher has given it up', async t => {
  const scene = new Scene(t)
  const port = await freePort()
  await probe(scene, {}, { execArgv: [`--inspect=127.0.0.1:${port}`] })
  const answer = await fetch(`http://127.0.0.1:${port}/json/list`)
  t.regex(JSON.stringify(await answer.json()), /fixtures\/probe\.js/)
})

// ── No program ───────────────────────────────────────────────────────────────────────────

/** Without a file of its own, an expression that imports the library. */
const EXPRESSION = `import('${LIBRARY}').then(({ daemonize }) => daemonize({ pidFile: './d.pid' })).catch(error => console.log(error.code + ': ' + error.message))`

const LINE = `try { require('${fileURLToPath(LIBRARY)}').daemonize() } catch (error) { console.log(error.code + ': ' + error.message) }`

const TEXTS: Record<string, { args: string[]; input?: string; says: RegExp }> = {
  'node -e': { args: ['-e', EXPRESSION], says: /`node -e`.*`daemonic start/ },
  'node --eval=': { args: [`--eval=${EXPRESSION}`], says: /`node -e`/ },
  'node -p': { args: ['-p', EXPRESSION], says: /`node -e`/ },
  'node -pe': { args: ['-pe', EXPRESSION], says: /`node -e`/ },
  'node --print': { args: ['--print', EXPRESSION], says: /`node -e`/ },
  'node --input-type=module -e': { args: ['--input-type=module', '-e', EXPRESSION], says: /`node -e`/ },
  'node, reading the program from its input': { args: [], input: EXPRESSION, says: /standard input/ },
  'node -, with arguments': { args: ['-', 'one', 'two'], input: EXPRESSION, says: /standard input/ },
  'node -i': { args: ['-i'], input: `${LINE}\n`, says: /REPL|standard input/ },
}

for (const [what, { args, input, says }] of Object.entries(TEXTS)) {
  test(`in ${what} there is no program to start again: that is refused`, async t => {
    const scene = new Scene(t)
    const stdin = input === undefined ? '' : ' < input'
    if (input !== undefined) scene.write('input', input)
    const before = scene.files()
    const { stdout } = await scene.run('sh', ['-c', `exec "$0" "$@"${stdin}`, process.execPath, ...args])
    t.regex(stdout, /ERR_DAEMON_UNSUPPORTED: /)
    t.regex(stdout, says)
    t.deepEqual(scene.processes(), [])
    t.deepEqual(scene.files(), before)
  })
}

test('uncaught, that is one paragraph, and the exit code 1', async t => {
  const text = `import('${LIBRARY}').then(({ daemonize }) => daemonize())`
  const { code, stderr } = await new Scene(t).run(process.execPath, ['-e', text])
  t.regex(stderr, /^daemonize\(\) was called by `node -e`: .*\n$/)
  t.is(code, 1)
})

test('a worker thread is refused', async t => {
  const scene = new Scene(t)
  const { code, stdout } = await scene.node(fixture('scripts/starts-in-a-thread'))
  t.regex(stdout, /^ERR_DAEMON_UNSUPPORTED: daemonize\(\) was called in a worker thread: call it in the main thread/)
  t.is(code, 0)
  t.deepEqual(scene.files(), [])
})

test('a program that changed its directory before the import is started where it was', async t => {
  const scene = new Scene(t)
  mkdirSync(scene.path('sub/sub'), { recursive: true })
  scene.write('flag.mjs', '')
  scene.write(
    'd.mjs',
    `process.chdir('sub')
    const { daemonize } = await import('${LIBRARY}')
    const daemon = daemonize({ chdir: false, pidFile: './d.pid' })
    setInterval(() => {}, 1_000_000)`,
  )
  const { code, stderr } = await scene.run(process.execPath, ['--import', './flag.mjs', 'd.mjs', 'd.mjs'])
  t.is(code, 0, stderr)
  const pid = Number(scene.read('sub/d.pid'))
  t.is(readlinkSync(`/proc/${pid}/cwd`), scene.path('sub'))
})
