// Starts that fail: a clear error, the right exit code, and nothing left behind.
import { execFileSync } from 'node:child_process'
import { chmodSync, lstatSync, mkdirSync, symlinkSync } from 'node:fs'
import { createServer } from 'node:net'
import test, { type ExecutionContext } from 'ava'
import { probe } from './support/probe.js'
import { program, runProgram } from './support/program.js'
import { asRoot } from './support/root.js'
import { type RunOptions, Scene } from './support/scene.js'

const NOBODY = 65_534

/** A daemon with everything that could be left. */
const BECOME = `const options = { pidFile: './d.pid', listen: { web: './d.sock' }, ready: 'manual' }
const become = more => daemonize({ ...options, ...more })
`

interface Failure {
  code?: number
  says: RegExp
  run?: RunOptions
}

/** Runs a program whose start must fail, and checks that nothing is left; gives what it said. */
async function fails(t: ExecutionContext, scene: Scene, text: string, failure: Failure): Promise<string> {
  const { code = 1, says, run } = failure
  const path = program(scene, BECOME + text)
  const before = scene.files()
  const result = await scene.node(path, run)
  t.deepEqual(scene.processes(), [], 'processes left')
  t.regex(result.stderr, says)
  t.is(result.code, code)
  t.deepEqual(scene.files(), before)
  return result.stderr
}

/** For errors that are not about what the daemon wrote. */
function isOneParagraph(t: ExecutionContext, text: string): void {
  t.is(text.trimEnd().split('\n').length, 1, text)
}

const EARLY_ENDS: Record<string, { does: string; code: number; says: RegExp }> = {
  'throws an error': { does: `throw new Error('no database')`, code: 1, says: /exited with 1 before.*no database/s },
  'rejects a promise': { does: `Promise.reject(new Error('no disk'))`, code: 1, says: /exited with 1.*no disk/s },
  'exits with 7': { does: 'process.exit(7)', code: 7, says: /exited with 7 before it was ready/ },
  'exits with 0': { does: 'process.exit(0)', code: 1, says: /exited with 0 before it was ready/ },
  'comes to its natural end': { does: '', code: 1, says: /exited with 0 before it was ready/ },
  'dies of SIGSEGV': {
    does: `process.kill(process.pid, 'SIGSEGV')`,
    code: 139,
    says: /was killed by SIGSEGV before it was ready/,
  },
  aborts: { does: 'process.abort()', code: 134, says: /was killed by SIGABRT before it was ready/ },
  'imports a file with a syntax error': {
    does: `fs.writeFileSync(here + '/program.mjs', 'const = 1'); await import('./program.mjs?again')`,
    code: 1,
    says: /exited with 1.*SyntaxError/s,
  },
}

for (const [what, { does, code, says }] of Object.entries(EARLY_ENDS)) {
  test(`a daemon that ${what} before it is ready has failed to start`, async t => {
    await fails(t, new Scene(t), `become(); ${does}`, { code, says })
  })
}

test('so has one that throws while the event loop has not turned, where readiness is automatic', async t => {
  await fails(t, new Scene(t), `become({ ready: 'auto' }); throw new Error('too early')`, { says: /too early/ })
})

test('so has one whose program was broken after its launcher had read it', async t => {
  const text = `fs.writeFileSync(import.meta.filename, 'const = 1'); become()`
  await fails(t, new Scene(t), text, { says: /exited with 1 before.*SyntaxError/s })
})

for (const [what, does] of [
  ['waits', 'setInterval(() => {}, 1_000_000)'],
  ['blocks its event loop', 'for (;;);'],
]) {
  test(`a daemon that ${what} beyond the start timeout is ended, and its launcher exits with 124`, async t => {
    const says = /the daemon was not ready after 1500 ms and was ended/
    await fails(t, new Scene(t), `become({ startTimeout: 1500 }); ${does}`, { code: 124, says })
  })
}

for (const [what, does, code] of [
  ['exits', 'process.exit(3)', 3],
  ['hangs', '', 124],
] as const) {
  test(`the children of a daemon that ${what} before it is ready end with it`, async t => {
    const child = `(await import('node:child_process')).spawn('sleep', ['1000'], { stdio: 'inherit' }).on('spawn', () => { ${does} })`
    await fails(t, new Scene(t), `become({ startTimeout: 2000 }); ${child}`, { code, says: /the daemon/ })
  })
}

test('of a long stderr the end is shown, at most 64 KiB', async t => {
  const does = `fs.writeSync(2, 'first words\\n' + 'x'.repeat(99) + '\\n'.repeat(1)); for (let i = 0; i < 10_000; i++) fs.writeSync(2, i + 'y'.repeat(100) + '\\n')
fs.writeSync(2, 'last words\\n'); process.exit(3)`
  const says = await fails(t, new Scene(t), `become(); ${does}`, { code: 3, says: /last words\s*$/ })
  t.notRegex(says, /first words/)
  // Every line is indented.
  t.true(says.replaceAll(/^ {4}/gm, '').length <= 64 * 1024 + 200, `${says.length}`)
  t.true(says.length > 60 * 1024, `${says.length}`)
})

test('of a log, what this start wrote is shown', async t => {
  const scene = new Scene(t)
  scene.write('d.log', 'an earlier failure\n')
  const says = await fails(t, scene, `become({ log: './d.log' }); console.error('this failure'); process.exit(3)`, {
    code: 3,
    says: /it wrote:\n {4}this failure/,
  })
  t.notRegex(says, /an earlier failure/)
  t.is(scene.read('d.log'), 'an earlier failure\nthis failure\n')
})

test('a log in a directory that is missing is refused by name', async t => {
  const scene = new Scene(t)
  const says = await fails(t, scene, `become({ log: './missing/deeper/d.log' })`, {
    says: /cannot open the log .*\/missing\/deeper\/d\.log \(stdout, stderr\): ENOENT, .*; the directory .*\/missing does not/,
  })
  isOneParagraph(t, says)
})

asRoot('a log in a directory that one may not write to is refused, and its owner named', async t => {
  const scene = new Scene(t)
  scene.giveTo(NOBODY)
  mkdirSync(scene.path('logs'))
  const says = await fails(t, scene, `become({ stderr: './logs/d.log' })`, {
    says: /cannot open the log .*\/logs\/d\.log \(stderr\): EACCES, permission denied; the directory .*\/logs belongs to root/,
    run: { uid: NOBODY, gid: NOBODY },
  })
  isOneParagraph(t, says)
})

asRoot('a log in a directory of one’s own without write permission is refused', async t => {
  const scene = new Scene(t)
  mkdirSync(scene.path('logs'))
  execFileSync('chown', ['-R', String(NOBODY), scene.directory])
  chmodSync(scene.path('logs'), 0o500)
  const says = /cannot open the log .*\/logs\/d\.log \(stdout\): EACCES, permission denied/
  await fails(t, scene, `become({ stdout: './logs/d.log' })`, { says, run: { uid: NOBODY, gid: NOBODY } })
})

asRoot('a log for which there is no space is refused', async t => {
  const scene = new Scene(t)
  if ((await scene.run('unshare', ['--mount', 'true'])).code !== 0) {
    t.pass('skipped: mounts are forbidden here')
    return
  }
  mkdirSync(scene.path('full'))
  const path = program(scene, `${BECOME} become({ log: './full/d.log' })`)
  const before = scene.files()
  // A mount that nobody else sees, and that goes with its last process.
  const command = `mount -t tmpfs -o nr_inodes=1 none full && exec "${process.execPath}" "${path}"`
  const { code, stderr } = await scene.run('unshare', ['--mount', 'sh', '-c', command])
  t.regex(stderr, /cannot open the log .* ENOSPC, no space left on device; free some space/)
  t.is(code, 1)
  t.deepEqual(scene.processes(), [])
  t.deepEqual(scene.files(), before)
})

test('a log that is a symbolic link is not followed', async t => {
  const scene = new Scene(t)
  const target = scene.write('target', 'precious')
  symlinkSync(target, scene.path('d.log'))
  const says = await fails(t, scene, `become({ log: { path: './d.log', truncate: true } })`, {
    says: /cannot open the log .*: ELOOP, .*; it is a symbolic link to .*\/target, and links are not followed/,
  })
  isOneParagraph(t, says)
  t.is(scene.read('target'), 'precious')
})

test('a log that is a directory is refused', async t => {
  const scene = new Scene(t)
  mkdirSync(scene.path('d.log'))
  isOneParagraph(t, await fails(t, scene, `become({ log: './d.log' })`, { says: /cannot open the log .*: EISDIR/ }))
})

test('a log that is a fifo is refused, with a reader or without', async t => {
  const scene = new Scene(t)
  execFileSync('mkfifo', [scene.path('d.log')])
  await fails(t, scene, `become({ log: './d.log' })`, { says: /ENXIO, .*; it is a fifo without a reader/ })
  // Opened to read and write, a fifo doesn't wait for the other end.
  const open = `fs.openSync('./d.log', 'r+');`
  await fails(t, scene, `${open} become({ log: './d.log' })`, { says: /EINVAL, .*; it is not a regular file/ })
})

test('a pid file that a daemon holds keeps a second one from starting, and from touching what the first one uses', async t => {
  const scene = new Scene(t)
  const log = { path: scene.path('d.log'), truncate: true }
  const first = await probe(scene, { name: 'first', pidFile: './d.pid', listen: { web: './d.sock' }, log })
  const socket = lstatSync(scene.path('d.sock')).ino
  process.kill(first.pid, 'SIGHUP') // writes nothing, harms nothing
  const { code, stderr } = await runProgram(
    scene,
    `${BECOME} become({ name: 'second', log: { path: './d.log', truncate: true } })`,
  )
  t.is(stderr, `second: already running as pid ${first.pid} (${scene.path('d.pid')})\n`)
  t.is(code, 1)
  t.deepEqual(scene.processes(), [first.pid])
  t.is(scene.read('d.pid'), `${first.pid}\n`)
  t.is(lstatSync(scene.path('d.sock')).ino, socket)
  t.true(scene.exists('d.json'))
})

test('of many starts at once one succeeds, and the others name it', async t => {
  const scene = new Scene(t)
  const path = program(scene, `daemonize({ name: 'd', pidFile: './d.pid' }); setInterval(() => {}, 1_000_000)`)
  const results = await Promise.all(Array.from({ length: 6 }, () => scene.node(path)))
  t.is(results.filter(({ code }) => code === 0).length, 1)
  t.deepEqual(
    results.filter(({ code, stderr }) => code !== 0 && !/^d: (already running as|another start)/.test(stderr)),
    [],
  )
  t.deepEqual(scene.processes(), [Number(scene.read('d.pid'))])
})

test('a directory to work in that is missing is refused by name', async t => {
  const says = await fails(t, new Scene(t), `become({ chdir: './missing' })`, {
    says: /cannot change to the directory .*\/missing: ENOENT, no such file or directory/,
  })
  isOneParagraph(t, says)
})

test('an address that somebody listens on is refused by name, and sockets that were bound before it are removed', async t => {
  const server = createServer()
  t.teardown(() => server.close())
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const address = server.address() as { port: number }
  const at = `127.0.0.1:${address.port}`
  const says = await fails(t, new Scene(t), `become({ listen: { one: './one.sock', two: '${at}' } })`, {
    says: new RegExp(`cannot listen on ${at}: EADDRINUSE, .*; (another process|pid \\d+) listens there`),
  })
  isOneParagraph(t, says)
})

test('a file that is no socket is not removed to listen there', async t => {
  const scene = new Scene(t)
  scene.write('d.sock', 'precious')
  const says = await fails(t, scene, 'become()', { says: /cannot listen on .*\/d\.sock: EADDRINUSE/ })
  t.notRegex(says, /another process listens/)
  t.is(scene.read('d.sock'), 'precious')
})

test('a socket in a directory that is missing is refused', async t => {
  const says = /cannot listen on .*\/missing\/d\.sock: ENOENT/
  isOneParagraph(t, await fails(t, new Scene(t), `become({ listen: { web: './missing/d.sock' } })`, { says }))
})

test('a pid file in a directory that is missing is refused', async t => {
  const says = /cannot create the pid file .*\/missing\/d\.pid: ENOENT, .*; the directory .*\/missing does not exist/
  isOneParagraph(t, await fails(t, new Scene(t), `become({ pidFile: './missing/d.pid' })`, { says }))
})
