// launch(): another program becomes a daemon, and its caller goes on.
import { readdirSync } from 'node:fs'
import test from 'ava'
import { processInfo, status, stop } from 'daemonic'
import { caller, inScene, knowing, launchOnce, script } from './support/launching.js'
import { program } from './support/program.js'
import { asRoot } from './support/root.js'
import { Scene } from './support/scene.js'

const LAUNCHES = Number(process.env.LAUNCHES ?? 60)

// ── Scripts that know nothing of daemons ─────────────────────────────────────────────────

test('a script that knows nothing of daemons becomes one', async t => {
  const scene = new Scene(t)
  const path = script(
    scene,
    `tell('facts', JSON.stringify([process.argv.slice(2), process.cwd(), process.title, process.umask()]))`,
  )
  const { pid = 0, started, target, pidFile, addresses } = await launchOnce(scene, path, { args: ['-x', 'y z'] })
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
  scene.write(
    'd.cjs',
    `require('fs').writeFileSync(__dirname + '/facts', JSON.stringify([require.main === module, process.execArgv])); setInterval(() => {}, 1e6)`,
  )
  const { started } = await launchOnce(scene, scene.path('d.cjs'))
  t.true(started)
  t.deepEqual(JSON.parse(scene.read('facts')), [true, []])
})

test('it is ready when its main module has been evaluated, top-level await included', async t => {
  const scene = new Scene(t)
  const path = script(scene, `await new Promise(resolve => setTimeout(resolve, 300)); tell('ready', 'x')`)
  t.true((await launchOnce(scene, path)).wasReady)
})

test('with other modules to be loaded before the program, too: they, and it, are loaded once', async t => {
  const scene = new Scene(t)
  const early = scene.write(
    'early.mjs',
    `import * as fs from 'node:fs'; await new Promise(resolve => setTimeout(resolve, 200)); fs.appendFileSync('${scene.path('order')}', 'early ')`,
  )
  const path = script(
    scene,
    `fs.appendFileSync('${scene.path('order')}', 'program '); await new Promise(resolve => setTimeout(resolve, 100)); tell('ready', 'x')`,
  )
  scene.write(
    'hooks.mjs',
    `import { register } from 'node:module'
     import './early.mjs'
     const slow = 'export const resolve = async (...all) => { await new Promise(done => setTimeout(done, 30)); return all[2](all[0], all[1]) }'
     register('data:text/javascript,' + encodeURIComponent(slow))`,
  )
  for (const interpreterArgs of [['--import', early], ['--import=./early.mjs'], ['--import', './hooks.mjs']]) {
    t.true((await launchOnce(scene, path, { interpreterArgs })).wasReady)
    t.is(scene.read('order'), 'early program ')
    await stop(scene.path('d.pid'))
    scene.remove('order')
    scene.remove('ready')
  }
})

test('the preload doesn’t reach its children and worker threads', async t => {
  const scene = new Scene(t)
  scene.write('child.mjs', `process.send([process.execArgv, process.env.DAEMONIC_START ?? null])`)
  const path = script(
    scene,
    `import { fork } from 'node:child_process'
     import { Worker } from 'node:worker_threads'
     const answer = await new Promise(resolve => fork(here + '/child.mjs').once('message', resolve))
     const worker = new Worker('process.exitCode = 3', { eval: true })
     answer.push(await new Promise(resolve => worker.once('exit', resolve)))
     tell('facts', JSON.stringify(answer))`,
  )
  t.is((await launchOnce(scene, path)).error, undefined)
  t.deepEqual(JSON.parse(scene.read('facts')), [[], null, 3])
})

asRoot('the user is taken before its first line', async t => {
  const scene = new Scene(t)
  scene.giveTo(65_534)
  const path = script(scene, `tell('facts', process.getuid() + ' ' + process.getgid())`)
  t.is((await launchOnce(scene, path, { user: 65_534, group: 65_534 })).error, undefined)
  t.is(scene.read('facts'), '65534 65534\n')
})

// ── Failures ─────────────────────────────────────────────────────────────────────────────

const EARLY_ENDS: Record<string, { does: string; exitCode: number; says: RegExp }> = {
  'throws an error': { does: `throw new Error('no database')`, exitCode: 1, says: /no database/ },
  'exits with 7 after a while': {
    does: `await null; setImmediate; process.exit(7)`,
    exitCode: 7,
    says: /exited with 7/,
  },
  'has a syntax error': { does: 'const = 1', exitCode: 1, says: /SyntaxError/ },
  'rejects in its top-level await': {
    does: `await new Promise((_, reject) => setTimeout(reject, 50, new Error('no disk')))`,
    exitCode: 1,
    says: /no disk/,
  },
}

for (const [what, { does, exitCode, says }] of Object.entries(EARLY_ENDS)) {
  test(`a script that ${what} is a failed start that leaves nothing`, async t => {
    const scene = new Scene(t)
    const path = script(scene, does)
    caller(scene, path)
    const before = scene.files()
    const { error } = await launchOnce(scene, path)
    t.like(error, { name: 'StartError', code: 'ERR_DAEMON_START', exitCode })
    t.regex(error?.message ?? '', says)
    t.deepEqual(scene.files(), before)
    t.deepEqual(scene.processes(), [])
  })
}

test('one that isn’t ready in time is ended', async t => {
  const scene = new Scene(t)
  const path = script(scene, `await new Promise(() => {})`)
  const { error } = await launchOnce(scene, path, { startTimeout: 300 })
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
    const { error } = await launchOnce(scene, path, options)
    t.like(error, { name: 'SystemCallError', exitCode }, JSON.stringify([path, options]))
  }
  t.deepEqual(scene.files(), ['caller.mjs', 'text'])
})

test('options that only the program itself can decide, and wrong ones, are refused', async t => {
  const scene = new Scene(t)
  const path = script(scene, '')
  for (const [options, says] of [
    [{ signals: {} }, /Unknown option `signals`/],
    [{ detach: true }, /Unknown option `detach`/],
    [{ ifRunning: 'reuse', pidFile: false }, /`ifRunning`.*without a `pidFile`/],
    [{ ifRunning: 'maybe' }, /`ifRunning` option to be 'error' or 'reuse'/],
    [{ args: [1] }, /`args.0` option to be a string/],
    [{ interpreter: null, interpreterArgs: ['-x'] }, /`interpreterArgs` option needs an `interpreter`/],
  ] as const) {
    const { error } = await launchOnce(scene, path, options as object)
    t.is(error?.code, 'ERR_DAEMON_OPTION')
    t.regex(error?.message ?? '', says)
  }
})

test('a second start is refused and names the owner', async t => {
  const scene = new Scene(t)
  const path = script(scene, '')
  const { pid } = await launchOnce(scene, path)
  const { error } = await launchOnce(scene, path)
  t.like(error, { name: 'AlreadyRunningError', code: 'ERR_DAEMON_RUNNING' })
  t.is(error?.message, `d: already running as pid ${pid} (${scene.path('d.pid')})`)
})

// ── The caller ───────────────────────────────────────────────────────────────────────────

test('the caller’s event loop turns, and its signals are its own, while the daemon starts', async t => {
  const scene = new Scene(t)
  const path = script(scene, `await new Promise(resolve => setTimeout(resolve, 500))`)
  const text = `let turns = 0
    setInterval(() => turns++, 5).unref()
    process.once('SIGINT', () => tell('signals', 'INT'))
    setTimeout(() => process.kill(process.pid, 'SIGINT'), 100)
    const { started } = await daemonic.launch('${path}')
    console.log(started, turns > 10)`
  const { code, stdout, stderr } = await scene.node(program(scene, text), inScene(scene))
  t.is(code, 0, stderr)
  t.is(stdout, 'true true\n')
  t.is(scene.read('signals'), 'INT\n')
})

for (const how of ['process.exit()', `process.kill(process.pid, 'SIGKILL')`]) {
  test(`a caller may end (${how}) before the daemon is ready`, async t => {
    const scene = new Scene(t)
    const path = script(scene, `await new Promise(resolve => setTimeout(resolve, 300)); tell('ready', 'x')`)
    const text = `void daemonic.launch('${path}', { version: '1' })
      while (!fs.existsSync(here + '/d.json')) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1)
      ${how}`
    await scene.node(program(scene, text), inScene(scene))
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
  const path = script(scene, `await new Promise(resolve => setTimeout(resolve, 200)); process.exit(1)`)
  const text = `void daemonic.launch('${path}', { listen: { main: { path: true } } })
      while (!fs.existsSync(here + '/d.json')) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1)
      process.exit()`
  await scene.node(program(scene, text), inScene(scene))
  await scene.empty()
  t.deepEqual(scene.files(), ['d.mjs', 'program.mjs'])
})

test(`${LAUNCHES} launches leave no zombie, and don’t disturb the caller’s children`, async t => {
  const scene = new Scene(t)
  const path = scene.write('d.mjs', `setTimeout(() => process.exit(0), 20)`)
  const text = `import { execFile } from 'node:child_process'
    import { promisify } from 'node:util'
    const run = promisify(execFile)
    let left = ${LAUNCHES}
    const one = async () => {
      while (left-- > 0) {
        const child = run('sh', ['-c', 'exit 3']).catch(error => error.code)
        const { started, target } = await daemonic.launch('${path}', { pidFile: false })
        if (!started || target !== null || (await child) !== 3) throw new Error('disturbed')
      }
    }
    await Promise.all([one(), one(), one(), one()])
    const children = fs.readdirSync('/proc').filter(pid => /^\\d+$/.test(pid)).filter(pid => {
      try { return fs.readFileSync('/proc/' + pid + '/stat', 'latin1').split(') ')[1].split(' ')[1] === String(process.pid) } catch { return false }
    })
    console.log(children.length, fs.readdirSync('/proc/self/fd').length < 40)`
  const { code, stdout, stderr } = await scene.node(program(scene, text), inScene(scene))
  t.is(code, 0, stderr)
  t.is(stdout, '0 true\n')
})

// ── A program that calls daemonize() all the same ────────────────────────────────────────

test('daemonize() in it starts nothing and returns that daemon', async t => {
  const scene = new Scene(t)
  const path = knowing(
    scene,
    `await new Promise(resolve => setTimeout(resolve, 50))
     const daemon = daemonize()
     tell('facts', JSON.stringify([daemon.pid === process.pid, daemon.detached, daemon.name, daemonize() === daemon]))`,
  )
  const { pid } = await launchOnce(scene, path, { log: './d.log' })
  t.deepEqual(JSON.parse(scene.read('facts')), [true, true, 'd', true])
  t.deepEqual(scene.processes(), [pid])
  t.is(scene.read('d.log'), '')
})

test('what launch() was given wins over the call, which wins over the defaults; one line names what was overridden', async t => {
  const scene = new Scene(t)
  const path = knowing(
    scene,
    `import { createServer } from 'node:net'
     const daemon = daemonize({
       name: 'other', umask: 0o077, chdir: '/', log: '/nowhere/x.log', pidFile: true,
       listen: { given: ':1', own: here + '/own.sock' }, signals: { SIGHUP: 'ignore', SIGTERM: () => process.exit(9) }, env: { OWN: 'x' },
     })
     await daemon.serve(createServer(socket => socket.end(daemon.name)), 'own')
     tell('facts', JSON.stringify([daemon.name, process.umask(), process.cwd(), daemon.sockets.given.address, process.env.OWN]))
     try { daemonize({ name: 'third' }) } catch (error) { tell('facts', error.message) }`,
  )
  const given = { name: 'd', umask: 0o027, log: './d.log', listen: { given: './given.sock' } }
  const { pid = 0, addresses } = await launchOnce(scene, path, given)
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

const WHO = `tell('facts', [process.getuid(), process.env.USER, process.env.LOGNAME, process.env.OWN].join(' '))`

asRoot('a user that only the call names is taken with that user’s variables', async t => {
  const scene = new Scene(t)
  scene.giveTo(1)
  const path = knowing(scene, `daemonize({ user: 'daemon' })\n${WHO}`)
  t.is((await launchOnce(scene, path)).error, undefined)
  t.is(scene.read('facts'), '1 daemon daemon \n')
})

asRoot('a user that launch() was given wins over another one of the call', async t => {
  const scene = new Scene(t)
  scene.giveTo(1)
  const path = knowing(scene, `daemonize({ user: 'nobody', env: { OWN: 'x' } })\n${WHO}`)
  t.is((await launchOnce(scene, path, { user: 'daemon', log: './d.log' })).error, undefined)
  t.is(scene.read('facts'), '1 daemon daemon x\n')
  t.regex(scene.read('d.log'), /for user is overridden/)
})

test('daemonize({ ready: ’manual’ }) in it takes over when it is ready', async t => {
  const scene = new Scene(t)
  const path = knowing(
    scene,
    `await null
     const daemon = daemonize({ ready: 'manual' })
     setTimeout(() => { tell('ready', 'x'); daemon.ready('at work') }, 300)`,
  )
  const { wasReady } = await launchOnce(scene, path)
  t.true(wasReady)
  t.is((await status(scene.path('d.pid'))).statusText, 'at work')
})

test('but not where launch() said `ready: ’auto’`', async t => {
  const scene = new Scene(t)
  const path = knowing(scene, `daemonize({ ready: 'manual' })`)
  t.is((await launchOnce(scene, path, { ready: 'auto', log: './d.log' })).error, undefined)
  t.regex(scene.read('d.log'), /for ready is overridden/)
})

test('a server that it serves must listen before it is ready', async t => {
  const scene = new Scene(t)
  const path = knowing(
    scene,
    `import { createServer } from 'node:net'
     const daemon = daemonize()
     const server = createServer()
     const listen = server.listen
     server.listen = (...all) => setTimeout(() => { tell('ready', 'x'); listen.apply(server, all) }, 200)
     daemon.serve(server, 'main')`,
  )
  t.true((await launchOnce(scene, path, { listen: { main: { path: true } } })).wasReady)
  t.deepEqual(
    readdirSync(scene.directory).filter(file => file.endsWith('.sock')),
    ['d.main.sock'],
  )
})
