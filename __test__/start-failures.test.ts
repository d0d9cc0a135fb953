// Starts that fail: a clear error, the right exit code, and nothing left behind.
import { execFileSync } from 'node:child_process'
import { chmodSync, lstatSync, mkdirSync, readdirSync, symlinkSync } from 'node:fs'
import { createServer } from 'node:net'
import test, { type ExecutionContext } from 'ava'
import type { Programs as Daemons } from './fixtures/daemon.js'
import type { End } from './fixtures/programs.js'
import type { Programs } from './fixtures/starts.js'
import { probe } from './support/probe.js'
import { refused } from './support/refused.js'
import { asRoot } from './support/root.js'
import { programs, Scene } from './support/scene.js'

const NOBODY = 65_534

const program = programs<Programs>('starts')

/** For errors that are not about what the daemon wrote. */
function isOneParagraph(t: ExecutionContext, text: string): void {
  t.is(text.trimEnd().split('\n').length, 1, text)
}

const EARLY_ENDS: Record<string, { how: End; code: number; says: RegExp }> = {
  'throws an error': { how: { throws: 'no database' }, code: 1, says: /exited with 1 before.*no database/s },
  'rejects a promise': { how: { rejects: 'no disk' }, code: 1, says: /exited with 1.*no disk/s },
  'exits with 7': { how: { exits: 7 }, code: 7, says: /exited with 7 before it was ready/ },
  'exits with 0': { how: { exits: 0 }, code: 1, says: /exited with 0 before it was ready/ },
  'comes to its natural end': { how: {}, code: 1, says: /exited with 0 before it was ready/ },
  'dies of SIGSEGV': { how: { kills: 'SIGSEGV' }, code: 139, says: /was killed by SIGSEGV before it was ready/ },
  aborts: { how: { aborts: true }, code: 134, says: /was killed by SIGABRT before it was ready/ },
}

for (const [what, { how, code, says }] of Object.entries(EARLY_ENDS)) {
  test(`a daemon that ${what} before it is ready has failed to start`, async t => {
    await refused(t, new Scene(t), program('fails', {}, how), { code, says })
  })
}

test('a daemon that imports a file with a syntax error before it is ready has failed to start', async t => {
  const scene = new Scene(t)
  const broken = scene.write('broken.mjs', 'const = 1')
  await refused(t, scene, program('imports', broken), { says: /exited with 1.*SyntaxError/s })
})

test('so has one that throws while the event loop has not turned, where readiness is automatic', async t => {
  const failing = program('fails', { ready: 'auto' }, { throws: 'too early' })
  await refused(t, new Scene(t), failing, { says: /too early/ })
})

test('so has one whose program was broken after its launcher had read it', async t => {
  const scene = new Scene(t)
  const breaking = scene.entry('program.mjs', program('breaksItsOwnFile'))
  await refused(t, scene, breaking, { says: /exited with 1 before.*SyntaxError/s })
})

for (const [what, hangs] of [
  ['waits', 'waiting'],
  ['blocks its event loop', 'blocking'],
] as const) {
  test(`a daemon that ${what} beyond the start timeout is ended, and its launcher exits with 124`, async t => {
    const says = /the daemon was not ready after 1500 ms and was ended/
    await refused(t, new Scene(t), program('fails', { startTimeout: 1500 }, { hangs }), { code: 124, says })
  })
}

for (const [what, how, code, startTimeout] of [
  ['exits', { exits: 3 }, 3, 60_000],
  ['hangs', {}, 124, 2_000],
] as const) {
  test(`the children of a daemon that ${what} before it is ready end with it`, async t => {
    const ending = program('hasAChildWhenItEnds', { startTimeout }, how)
    await refused(t, new Scene(t), ending, { code, says: /the daemon/ })
  })
}

test('of a long stderr the end is shown, at most 64 KiB', async t => {
  const says = await refused(t, new Scene(t), program('writesMuchAndFails'), { code: 3, says: /last words\s*$/ })
  t.notRegex(says, /first words/)
  // Every line is indented.
  t.true(says.replaceAll(/^ {4}/gm, '').length <= 64 * 1024 + 200, `${says.length}`)
  t.true(says.length > 60 * 1024, `${says.length}`)
})

test('of a log, what this start wrote is shown', async t => {
  const scene = new Scene(t)
  scene.write('d.log', 'an earlier failure\n')
  const failing = program('fails', { log: './d.log' }, { says: 'this failure', exits: 3 })
  const says = await refused(t, scene, failing, {
    code: 3,
    says: /it wrote:\n {4}this failure/,
  })
  t.notRegex(says, /an earlier failure/)
  t.is(scene.read('d.log'), 'an earlier failure\nthis failure\n')
})

test('a log in a directory that is missing is refused by name', async t => {
  const scene = new Scene(t)
  const says = await refused(t, scene, program('becomes', { log: './missing/deeper/d.log' }), {
    says: /cannot open the log .*\/missing\/deeper\/d\.log \(stdout, stderr\): ENOENT, .*; the directory .*\/missing does not/,
  })
  isOneParagraph(t, says)
})

asRoot('a log in a directory that one may not write to is refused, and its owner named', async t => {
  const scene = new Scene(t)
  scene.giveTo(NOBODY)
  mkdirSync(scene.path('logs'))
  const says = await refused(t, scene, program('becomes', { stderr: './logs/d.log' }), {
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
  await refused(t, scene, program('becomes', { stdout: './logs/d.log' }), { says, run: { uid: NOBODY, gid: NOBODY } })
})

asRoot('a log for which there is no space is refused', async t => {
  const scene = new Scene(t)
  if ((await scene.run('unshare', ['--mount', 'true'])).code !== 0) {
    t.pass('skipped: mounts are forbidden here')
    return
  }
  mkdirSync(scene.path('full'))
  // A mount that nobody else sees, and that goes with its last process.
  const shell = ['--mount', 'sh', '-c', 'mount -t tmpfs -o nr_inodes=1 none full && exec "$@"', 'sh']
  const argv = [process.execPath, ...program('becomes', { log: './full/d.log' })]
  await refused(t, scene, () => scene.run('unshare', [...shell, ...argv]), {
    says: /cannot open the log .* ENOSPC, no space left on device; free some space/,
  })
})

test('a log that is a symbolic link is not followed', async t => {
  const scene = new Scene(t)
  const target = scene.write('target', 'precious')
  symlinkSync(target, scene.path('d.log'))
  const says = await refused(t, scene, program('becomes', { log: { path: './d.log', truncate: true } }), {
    says: /cannot open the log .*: ELOOP, .*; it is a symbolic link to .*\/target, and links are not followed/,
  })
  isOneParagraph(t, says)
  t.is(scene.read('target'), 'precious')
})

test('a log that is a directory is refused', async t => {
  const scene = new Scene(t)
  mkdirSync(scene.path('d.log'))
  isOneParagraph(
    t,
    await refused(t, scene, program('becomes', { log: './d.log' }), { says: /cannot open the log .*: EISDIR/ }),
  )
})

test('a log that is a fifo is refused, with a reader or without', async t => {
  const scene = new Scene(t)
  execFileSync('mkfifo', [scene.path('d.log')])
  await refused(t, scene, program('becomes', { log: './d.log' }), { says: /ENXIO, .*; it is a fifo without a reader/ })
  // Opened to read and write, a fifo doesn't wait for the other end.
  await refused(t, scene, program('opens', './d.log', { log: './d.log' }), {
    says: /EINVAL, .*; it is not a regular file/,
  })
})

test('a pid file that a daemon holds keeps a second one from starting, and from touching what the first one uses', async t => {
  const scene = new Scene(t)
  const log = { path: scene.path('d.log'), truncate: true }
  const first = await probe(scene, { name: 'first', pidFile: './d.pid', listen: { web: './d.sock' }, log })
  const socket = lstatSync(scene.path('d.sock')).ino
  process.kill(first.pid, 'SIGHUP') // writes nothing, harms nothing
  const { code, stderr } = await scene.node(
    program('becomes', { name: 'second', log: { path: './d.log', truncate: true } }),
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
  const starting = programs<Daemons>('daemon')('stays', { log: 'ignore' })
  const results = await Promise.all(Array.from({ length: 6 }, () => scene.node(starting)))
  t.is(results.filter(({ code }) => code === 0).length, 1)
  t.deepEqual(
    results.filter(({ code, stderr }) => code !== 0 && !/^d: (already running as|another start)/.test(stderr)),
    [],
  )
  t.deepEqual(scene.processes(), [Number(scene.read('d.pid'))])
})

test('a directory to work in that is missing is refused by name', async t => {
  const says = await refused(t, new Scene(t), program('becomes', { chdir: './missing' }), {
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
  const says = await refused(t, new Scene(t), program('becomes', { listen: { one: './one.sock', two: at } }), {
    says: new RegExp(`cannot listen on ${at}: EADDRINUSE, .*; (another process|pid \\d+) listens there`),
  })
  isOneParagraph(t, says)
})

test('a file that is no socket is not removed to listen there', async t => {
  const scene = new Scene(t)
  scene.write('d.sock', 'precious')
  const says = await refused(t, scene, program('becomes', {}), { says: /cannot listen on .*\/d\.sock: EADDRINUSE/ })
  t.notRegex(says, /another process listens/)
  t.is(scene.read('d.sock'), 'precious')
})

test('a socket in a directory that is missing is refused', async t => {
  const says = /cannot listen on .*\/missing\/d\.sock: ENOENT/
  isOneParagraph(
    t,
    await refused(t, new Scene(t), program('becomes', { listen: { web: './missing/d.sock' } }), { says }),
  )
})

test('a pid file in a directory that is missing is refused', async t => {
  const says = /cannot create the pid file .*\/missing\/d\.pid: ENOENT, .*; the directory .*\/missing does not exist/
  isOneParagraph(t, await refused(t, new Scene(t), program('becomes', { pidFile: './missing/d.pid' }), { says }))
})

test('an empty log that it made goes with a failed start, one with something in it stays', async t => {
  const scene = new Scene(t)
  mkdirSync(scene.path('logs'))
  const options = { log: './logs/d.log' }
  const code = 7
  await refused(t, scene, program('fails', options, { exits: 7 }), { code, says: /exited with 7/ })
  t.deepEqual(readdirSync(scene.path('logs')), [])
  await refused(t, scene, program('fails', options, { says: 'out of luck', exits: 7 }), { code, says: /out of luck/ })
  t.is(scene.read('logs/d.log'), 'out of luck\n')
})

test('an empty log that was there stays', async t => {
  const scene = new Scene(t)
  scene.write('d.log', '')
  await refused(t, scene, program('fails', { log: './d.log' }, { exits: 7 }), { code: 7, says: /exited with 7/ })
  t.is(scene.read('d.log'), '')
})

test('an empty log goes with a start whose second log can’t be opened', async t => {
  await refused(t, new Scene(t), program('becomes', { stdout: './out.log', stderr: './missing/err.log' }), {
    says: /cannot open the log .*missing/,
  })
})

asRoot('an empty log that it made with the user’s rights goes with a failed start', async t => {
  const scene = new Scene(t)
  chmodSync(scene.directory, 0o755)
  mkdirSync(scene.path('logs'))
  scene.giveTo(NOBODY, 'logs')
  const options = { log: './logs/d.log', user: NOBODY, group: NOBODY }
  await refused(t, scene, program('fails', options, { exits: 7 }), { code: 7, says: /exited with 7/ })
  t.deepEqual(readdirSync(scene.path('logs')), [])
})
