// launch(): another program becomes a daemon, and its caller goes on.
import { chmodSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import test from 'ava'
import { processInfo, status, stop } from 'daemonic'
import { callers, inScene, launched, launchOf, launchOnce, runDirectoryOfRoot } from './support/launching.js'
import { LIBRARY } from './support/program.js'
import { asRoot } from './support/root.js'
import { fixture, type Program, Scene } from './support/scene.js'

const LAUNCHES = Number(process.env.LAUNCHES ?? 60)

// ── Scripts that know nothing of daemons ─────────────────────────────────────────────────

test('a script that knows nothing of daemons becomes one', async t => {
  const scene = new Scene(t)
  const telling = [fixture('scripts/tells-its-facts'), '-x', 'y z'] as const
  const { pid = 0, started, target, pidFile, addresses } = await launchOnce(scene, telling)
  t.true(started)
  t.is(pidFile, scene.path('d.pid'))
  t.is(target, pidFile)
  t.deepEqual(addresses, {})
  t.deepEqual(JSON.parse(scene.read('facts')), [['-x', 'y z'], scene.directory, 'd', 0o022])
  const { pgid, sid, tty } = processInfo(pid)
  t.is(pgid, pid)
  t.not(sid, pid)
  t.is(tty, null)
  t.deepEqual(scene.processes(), [pid], 'the process in between has ended')
  const { state, version, instance } = await status(scene.path('d.pid'))
  t.deepEqual([state, version, instance], ['running', null, null])
  const { forced } = await stop(scene.path('d.pid'))
  t.false(forced)
  t.false(scene.exists('d.pid'))
  t.false(scene.exists('d.json'))
})

test('so does a CommonJS script, which is the main module all the same', async t => {
  const scene = new Scene(t)
  const { started } = await launchOnce(scene, [fixture('scripts/tells-its-facts-as-commonjs', 'cjs')])
  t.true(started)
  t.deepEqual(JSON.parse(scene.read('facts')), [true, []])
})

test('it is ready when its main module has been evaluated, top-level await included', async t => {
  const scene = new Scene(t)
  t.true((await launchOnce(scene, launched('isReadyAfter', 300))).wasReady)
})

test('with other modules to be loaded before the program, too: they, and it, are loaded once', async t => {
  const scene = new Scene(t)
  const early = fixture('modules/preloaded-slowly')
  const hooks = fixture('modules/preloaded-with-hooks')
  scene.entry('early.mjs', [early])
  for (const interpreterArgs of [['--import', early], ['--import=./early.mjs'], ['--import', hooks]]) {
    t.true((await launchOnce(scene, launched('tellsItsOrder'), { interpreterArgs })).wasReady)
    t.is(scene.read('order'), 'early\nprogram\n')
    await stop(scene.path('d.pid'))
    scene.remove('order')
    scene.remove('ready')
  }
})

for (const ending of ['mjs', 'cjs'] as const) {
  test(`packages that the flags import run once before it (${ending}), by the condition \`import\``, async t => {
    const scene = new Scene(t)
    mkdirSync(scene.path('node_modules/instrument'), { recursive: true })
    const conditions = { import: './import.mjs', require: './require.cjs' }
    scene.write('node_modules/instrument/package.json', JSON.stringify({ exports: conditions }))
    const note = (what: string) => `globalThis.process.getBuiltinModule('fs').appendFileSync('ran', '${what}\\n')\n`
    const slowly = 'await new Promise(resolve => setTimeout(resolve, 50))\n'
    scene.write('node_modules/instrument/import.mjs', note('import') + slowly + note('imported'))
    scene.write('node_modules/instrument/require.cjs', note('require'))
    const program = scene.write(`d.${ending}`, `${note('main')}setInterval(() => {}, 1_000_000)`)
    const options = { interpreterArgs: ['--import', 'instrument'], chdir: scene.directory }
    t.is((await launchOnce(scene, [program], options)).error, undefined)

    await scene.until('its main module ran', () => scene.exists('ran') && scene.read('ran').includes('main'))
    t.is(scene.read('ran'), 'import\nimported\nmain\n')
  })
}

test('the preload doesn’t reach its children and worker threads', async t => {
  const scene = new Scene(t)
  t.is((await launchOnce(scene, launched('tellsOfItsChildren'))).error, undefined)
  t.deepEqual(JSON.parse(scene.read('facts')), [[], null, 3])
})

asRoot('the user is taken before its first line', async t => {
  const scene = new Scene(t)
  scene.giveTo(65_534)
  const ids = { user: 65_534, group: 65_534 }
  t.is((await launchOnce(scene, launched('tellsItsIds'), ids, runDirectoryOfRoot(scene))).error, undefined)
  t.is(scene.read('facts'), '65534 65534\n')
})

test('it logs by default, as the command’s daemons do, and no supervisor watches it unless asked', async t => {
  const scene = new Scene(t)
  scene.write('d.mjs', `console.log('out')\nconsole.error('err')\nsetInterval(() => {}, 1_000_000)`)
  const { pid, target = '' } = await launchOnce(scene, ['d.mjs'], { log: undefined })
  t.is(readFileSync(`/proc/${pid}/comm`, 'utf8'), 'd\n')
  t.deepEqual(scene.processes(), [Number(pid)])
  await scene.until('it has logged', () => scene.exists('state/d.log') && scene.read('state/d.log').includes('err'))
  t.is(scene.read('state/d.log'), 'out\nerr\n')
  t.deepEqual((await status(target)).logs, [scene.path('state/d.log')])
})

test('a relative program is found from the working directory, one of the caller’s package by its URL', async t => {
  const scene = new Scene(t)
  mkdirSync(scene.path('package'))
  scene.write('package/helper.mjs', `setInterval(() => {}, 1_000_000)`)
  const text = `import { launch, stop } from '${LIBRARY}'
    const { code } = await launch('./helper.mjs', { name: 'd' }).catch(error => error)
    const { target, pid } = await launch(new URL('./helper.mjs', import.meta.url), { name: 'd', log: 'ignore' })
    console.log(code, (await stop(target)).pid === pid)`
  const { stdout, stderr } = await scene.node(scene.write('package/caller.mjs', text), inScene(scene))
  t.is(stdout, 'ENOENT true\n', stderr)
})

// ── Failures ─────────────────────────────────────────────────────────────────────────────

const EARLY_ENDS: Record<string, { how: Program; exitCode: number; says: RegExp }> = {
  'throws an error': { how: launched('failsAfter', 0, { throws: 'no database' }), exitCode: 1, says: /no database/ },
  'exits with 7 after a while': { how: launched('failsAfter', 1, { exits: 7 }), exitCode: 7, says: /exited with 7/ },
  'has a syntax error': { how: ['d.mjs'], exitCode: 1, says: /SyntaxError/ },
  'rejects in its top-level await': {
    how: launched('failsAfter', 50, { throws: 'no disk' }),
    exitCode: 1,
    says: /no disk/,
  },
}

for (const [what, { how, exitCode, says }] of Object.entries(EARLY_ENDS)) {
  test(`a script that ${what} is a failed start that leaves nothing`, async t => {
    const scene = new Scene(t)
    scene.write('d.mjs', 'const = 1')
    const before = scene.files()
    const { error } = await launchOnce(scene, how)
    t.like(error, { name: 'StartError', code: 'ERR_DAEMON_START', exitCode })
    t.regex(error?.message ?? '', says)
    t.deepEqual(scene.files(), before)
    t.deepEqual(scene.processes(), [])
  })
}

test('one that isn’t ready in time is ended', async t => {
  const scene = new Scene(t)
  const { error } = await launchOnce(scene, launched('isNeverReady'), { startTimeout: 300 })
  t.like(error, { code: 'ERR_DAEMON_START_TIMEOUT', exitCode: 124 })
  t.deepEqual(scene.processes(), [])
  t.false(scene.exists('d.pid'))
  t.false(scene.exists('d.json'))
})

test('what is to be executed must be there, before anything is started', async t => {
  const scene = new Scene(t)
  const text = scene.write('text', 'x')
  const cases: [string, object, number][] = [
    [scene.path('missing.mjs'), {}, 127],
    [scene.path('missing'), { interpreter: null }, 127],
    ['no-such-command', { interpreter: null }, 127],
    [text, { interpreter: 'no-such-command' }, 127],
    [text, { interpreter: null }, 126],
    [scene.directory, { interpreter: null }, 126],
  ]
  for (const [path, options, exitCode] of cases) {
    const { error } = await launchOnce(scene, [path], options)
    t.like(error, { name: 'SystemCallError', exitCode }, JSON.stringify([path, options]))
  }
  t.deepEqual(scene.files(), ['text'])
})

test('options that only the program itself can decide, and wrong ones, are refused', async t => {
  const scene = new Scene(t)
  const staying = launched('stays')
  for (const [options, says] of [
    [{ signals: {} }, /Unknown option `signals`/],
    [{ detach: true }, /Unknown option `detach`/],
    [{ ifRunning: 'reuse', pidFile: false }, /`ifRunning`.*without a `pidFile`/],
    [{ ifRunning: 'maybe' }, /`ifRunning` option to be 'error' or 'reuse'/],
    [{ args: [1] }, /`args.0` option to be a string/],
    [{ interpreter: null, interpreterArgs: ['-x'] }, /`interpreterArgs` option needs an `interpreter`/],
  ] as const) {
    const { error } = await launchOnce(scene, staying, options as object)
    t.is(error?.code, 'ERR_DAEMON_OPTION')
    t.regex(error?.message ?? '', says)
  }
})

test('an interpreter that starts Node as its child is refused sockets, which would not reach that', async t => {
  const scene = new Scene(t)
  const interpreter = scene.write('tsx', '#!/bin/sh\n"$NODE" "$@"\n')
  chmodSync(interpreter, 0o755)
  const { error } = await launchOnce(scene, launched('stays'), { interpreter, listen: { web: 0 } })
  t.is(error?.code, 'ERR_DAEMON_OPTION')
  t.regex(error?.message ?? '', /^tsx starts Node as its child.*leave the `interpreter` option out.*'--import', 'tsx'/)
  t.deepEqual(scene.processes(), [])
})

test('a single executable application has no Node for a script, unless it names one', async t => {
  const scene = new Scene(t)
  // Node gives such an application its own path as argv[1].
  const single = scene.write('single.cjs', 'process.argv[1] = process.execPath')
  const run = { execArgv: ['--require', single] }
  const { error } = await launchOnce(scene, launched('stays'), {}, run)
  t.is(error?.code, 'ERR_DAEMON_UNSUPPORTED')
  t.regex(error?.message ?? '', /single executable.*`interpreter: 'node'`/)
  t.deepEqual(scene.processes(), [])
  t.true(
    (await launchOnce(scene, launched('stays'), { interpreter: process.execPath, interpreterArgs: [] }, run)).started,
  )
})

test('a second start is refused and names the owner', async t => {
  const scene = new Scene(t)
  const staying = launched('stays')
  const { pid } = await launchOnce(scene, staying)
  const { error } = await launchOnce(scene, staying)
  t.like(error, { name: 'AlreadyRunningError', code: 'ERR_DAEMON_RUNNING' })
  t.is(error?.message, `d: already running as pid ${pid} (${scene.path('d.pid')})`)
})

// ── The caller ───────────────────────────────────────────────────────────────────────────

test('the caller’s event loop turns, and its signals are its own, while the daemon starts', async t => {
  const scene = new Scene(t)
  const calling = callers('turnsMeanwhile', ...launchOf(launched('isReadyAfter', 500)))
  const { code, stdout, stderr } = await scene.node(calling, inScene(scene))
  t.is(code, 0, stderr)
  t.is(stdout, 'true true\n')
  t.is(scene.read('signals'), 'INT\n')
})

for (const how of ['exits', 'is killed'] as const) {
  test(`a caller that ${how} before the daemon is ready leaves it alone`, async t => {
    const scene = new Scene(t)
    const launching = launchOf(launched('isReadyAfter', 300), { version: '1' })
    await scene.node(callers('endsBeforeItIsReady', how, ...launching), inScene(scene))
    t.false(scene.exists('ready'))
    const pid = await scene.until('it is ready', () => {
      const [pid, another] = scene.exists('ready') ? scene.processes() : []
      return another === undefined && pid
    })
    const { state, version, pid: owner } = await status(scene.path('d.pid'))
    t.deepEqual([state, version, owner], ['running', '1', pid])
    await stop(scene.path('d.pid'))
    t.deepEqual(scene.processes(), [])
  })
}

test('a daemon that fails when its caller has ended leaves nothing either', async t => {
  const scene = new Scene(t)
  const failing = launched('failsAfter', 200, { exits: 1 })
  const launching = launchOf(failing, { listen: { main: { path: true } } })
  await scene.node(callers('endsBeforeItIsReady', 'exits', ...launching), inScene(scene))
  await scene.empty()
  t.deepEqual(scene.files(), [])
})

test(`${LAUNCHES} launches leave no zombie, and don’t disturb the caller’s children`, async t => {
  const scene = new Scene(t)
  const launching = launchOf(launched('endsAfter', 20), { pidFile: false })
  const { code, stdout, stderr } = await scene.node(callers('launchesMany', LAUNCHES, ...launching), inScene(scene))
  t.is(code, 0, stderr)
  t.is(stdout, '0 true\n')
})

// ── A program that calls daemonize() all the same ────────────────────────────────────────

test('daemonize() in it starts nothing and returns that daemon', async t => {
  const scene = new Scene(t)
  const { pid } = await launchOnce(scene, launched('tellsWhatItIs'), { log: './d.log' })
  t.deepEqual(JSON.parse(scene.read('facts')), [true, true, 'd', true])
  t.deepEqual(scene.processes(), [pid])
  t.is(scene.read('d.log'), '')
})

test('what launch() was given wins over the call, which wins over the defaults; one line names what was overridden', async t => {
  const scene = new Scene(t)
  const given = { name: 'd', umask: 0o027, log: './d.log', listen: { given: './given.sock' } }
  const { pid = 0, addresses } = await launchOnce(scene, launched('wantsOtherThings'), given)
  await scene.until('it has told all', () => scene.exists('facts') && /\n.*\n$/.test(scene.read('facts')))
  const [facts = '', second] = scene.read('facts').trimEnd().split('\n')
  t.deepEqual(JSON.parse(facts), ['d', 0o027, '/', scene.path('given.sock'), 'x'])
  t.is(second, 'daemonize() was called before in this process: a second call takes no options')
  t.deepEqual(addresses, { given: scene.path('given.sock') })
  t.regex(
    scene.read('d.log'),
    /^\S+Z d\[\d+\] info: started from outside: what daemonize\(\) was given for name, umask, log, listen.given is overridden\n$/,
  )
  process.kill(pid, 'SIGHUP')
  process.kill(pid, 'SIGTERM')
  await scene.empty()
  t.false(scene.exists('own.sock'))
})

asRoot('a user that only the call names is taken with that user’s variables', async t => {
  const scene = new Scene(t)
  scene.giveTo(1)
  const telling = launched('tellsWhoItIs', { user: 'daemon' })
  t.is((await launchOnce(scene, telling, {}, runDirectoryOfRoot(scene))).error, undefined)
  t.is(scene.read('facts'), '1 daemon daemon \n')
})

asRoot('a user that launch() was given wins over another one of the call', async t => {
  const scene = new Scene(t)
  scene.giveTo(1)
  const telling = launched('tellsWhoItIs', { user: 'nobody', env: { OWN: 'x' } })
  const options = { user: 'daemon', log: './d.log' }
  t.is((await launchOnce(scene, telling, options, runDirectoryOfRoot(scene))).error, undefined)
  t.is(scene.read('facts'), '1 daemon daemon x\n')
  t.regex(scene.read('d.log'), /for user is overridden/)
})

test('daemonize({ ready: ’manual’ }) in it takes over when it is ready', async t => {
  const scene = new Scene(t)
  const { wasReady } = await launchOnce(scene, launched('isReadyByItself', 300, 'at work'))
  t.true(wasReady)
  t.is((await status(scene.path('d.pid'))).statusText, 'at work')
})

test('but not where launch() said `ready: ’auto’`', async t => {
  const scene = new Scene(t)
  const calling = launched('callsDaemonize', { ready: 'manual' })
  t.is((await launchOnce(scene, calling, { ready: 'auto', log: './d.log' })).error, undefined)
  t.regex(scene.read('d.log'), /for ready is overridden/)
})

test('a server that it serves must listen before it is ready', async t => {
  const scene = new Scene(t)
  const late = launched('listensAfter', 200)
  t.true((await launchOnce(scene, late, { listen: { main: { path: true } } })).wasReady)
  t.deepEqual(
    readdirSync(scene.directory).filter(file => file.endsWith('.sock')),
    ['d.main.sock'],
  )
})
