// stop, signal, reload: what the command says and does to daemons that run, and to those that don't.
import { mkdirSync, writeFileSync } from 'node:fs'
import test from 'ava'
import { PidLock } from 'daemonic'
import { cli, cliOnTerminal, isReadable, place, spawnCli, started } from './support/cli.js'
import { asRoot, locks, NOBODY, owner, withNamespaces, withPython } from './support/locks.js'
import { finished, Scene } from './support/scene.js'

test('stop ends it and waits; a second one is content', async t => {
  const scene = new Scene(t)
  const pid = await started(scene)
  const first = await cli(scene, ['stop', 'web'])
  t.is(first.code, 0, first.stderr)
  t.regex(first.stdout, new RegExp(`^web: stopped \\(pid ${pid}, \\d+ ms\\)\n$`))
  t.deepEqual(scene.processes(), [])
  const second = await cli(scene, ['stop', 'web'])
  t.is(second.code, 0)
  t.is(second.stdout, `web: not running (no pid file ${scene.path('run/web.pid')})\n`)
  t.is(second.stderr, '')
})

test('two stops at once both see it end', async t => {
  const scene = new Scene(t)
  await started(scene)
  const results = await Promise.all([cli(scene, ['stop', 'web']), cli(scene, ['stop', 'web'])])
  for (const { code, stderr } of results) t.is(code, 0, stderr)
  t.deepEqual(scene.processes(), [])
})

test('a reader that closes its pipe doesn’t end the work', async t => {
  const scene = new Scene(t)
  for (const name of ['one', 'two', 'three']) await started(scene, name)
  const child = spawnCli(scene, ['stop', 'one', 'two', 'three'])
  child.stdout?.destroy()
  const { code, stderr } = await finished(child)
  t.deepEqual([code, stderr], [0, ''])
  t.deepEqual(scene.processes(), [])
})

test('several targets, by name and by pid file, are stopped one after the other', async t => {
  const scene = new Scene(t)
  await started(scene, 'a')
  await started(scene, 'b', ['--pid-file', './b.pid'])
  const { code, stdout } = await cli(scene, ['stop', 'a', './b.pid', 'c'])
  t.is(code, 0)
  t.regex(stdout, /^a: stopped .*\nb: stopped .*\nc: not running .*\n$/)
})

test('what doesn’t end is killed at the timeout, or left with --no-force until it is asked again', async t => {
  const scene = new Scene(t)
  place(scene, 'never-stops', 'tough.mjs')
  const start = async () => {
    const { code, stderr } = await cli(scene, ['start', 'tough.mjs'])
    t.is(code, 0, stderr)
  }
  await start()
  const killed = await cli(scene, ['stop', '--timeout', '200ms', 'tough'])
  t.is(killed.code, 0)
  t.regex(killed.stdout, /^tough: killed \(pid \d+, \d+ ms\)\n$/)
  await start()
  const left = await cli(scene, ['stop', '--timeout', '200ms', '--no-force', 'tough'])
  t.is(left.code, 1)
  t.regex(left.stderr, /^tough: pid \d+ still runs \d+ ms after SIGTERM/)
  // A second TERM ends it at once, long before a timeout.
  const again = await cli(scene, ['stop', '--timeout', '60s', 'tough'])
  t.is(again.code, 0)
  t.regex(again.stdout, /^tough: stopped \(pid \d+, \d+ ms\): pid \d+ had not ended in time and was killed\n$/)
})

test('--signal is what asks it to end; --json tells what came of it', async t => {
  const scene = new Scene(t)
  const pid = await started(scene)
  const { stdout } = await cli(scene, ['stop', '--json', '--signal', 'int', 'web'])
  const { elapsed, ...rest } = JSON.parse(stdout)
  t.true(elapsed >= 0)
  t.deepEqual(rest, {
    name: 'web',
    pidFile: scene.path('run/web.pid'),
    pid,
    wasRunning: true,
    forced: false,
    exitCode: 0,
    killed: [],
  })
})

test('signal sends one, by name or number', async t => {
  const scene = new Scene(t)
  place(scene, 'tells-signals', 'app.mjs')
  await cli(scene, ['start', 'app.mjs'])
  for (const [given, name] of [
    ['IO', 'SIGIO'],
    ['sigalrm', 'SIGALRM'],
    ['28', 'SIGWINCH'],
  ] as const) {
    const { code, stdout, stderr } = await cli(scene, ['signal', 'app', given])
    t.is(code, 0, stderr)
    t.is(stdout, `app: sent ${name}\n`)
    await scene.until('it has it', () => scene.exists('got') && scene.read('got').endsWith(`${name}\n`))
  }
})

for (const args of [
  ['signal', 'web', 'HUP'],
  ['reload', 'web'],
  ['reopen', 'web'],
  ['scale', 'web', '+1'],
]) {
  test(`7: ${args[0]} of what doesn’t run`, async t => {
    const scene = new Scene(t)
    const result = await cli(scene, args)
    t.is(result.code, 7)
    t.is(result.stderr, `web: not running (no pid file ${scene.path('run/web.pid')})\n`)
    isReadable(t, result)
  })
}

test('the nearest name is suggested', async t => {
  const scene = new Scene(t)
  await started(scene, 'nightly')
  const { stderr, code } = await cli(scene, ['signal', 'nightli', 'HUP'])
  t.is(code, 7)
  t.regex(stderr, /^nightli: not running \(no pid file .*; did you mean `nightly`\?\)\n$/)
  const stop = await cli(scene, ['stop', 'nightli.pid'])
  t.is(stop.code, 0, 'deploy scripts stop what may not run')
  t.regex(stop.stdout, /^nightli: not running \(no pid file \S+\)\n$/)
  t.is(stop.stderr, 'nightli: no such daemon; did you mean `nightly`?\n')
})

test('a stale and an empty pid file are told apart, and removed by stop', async t => {
  const scene = new Scene(t)
  mkdirSync(scene.path('run'))
  writeFileSync(scene.path('run/old.pid'), '4194303\n')
  writeFileSync(scene.path('run/void.pid'), '')
  const { code, stdout } = await cli(scene, ['stop', 'old', 'void'])
  t.is(code, 0)
  t.regex(
    stdout,
    /^old: not running \(its pid file .*old\.pid was left by pid 4194303\)\nvoid: .*void\.pid is empty\)\n$/,
  )
})

asRoot('a daemon of another user is not touched, and the message says whose it is', async t => {
  const scene = new Scene(t)
  const child = await owner(scene)
  const stranger = { uid: NOBODY, gid: NOBODY }
  for (const args of [
    ['stop', './d.pid'],
    ['signal', './d.pid', 'TERM'],
  ]) {
    scene.write('d.pid.note', '')
    const result = await cli(scene, args, stranger)
    t.is(result.code, 1)
    t.regex(result.stderr, /^d: cannot .*E(PERM|ACCES)/)
    isReadable(t, result)
  }
  t.is(child.exitCode, null)
})

withNamespaces('a daemon in another pid namespace is refused', async t => {
  const scene = new Scene(t)
  const argv = [process.execPath, ...locks('tellsSignals')]
  scene.spawn('unshare', ['--pid', '--fork', '--kill-child', ...argv])
  await scene.until('it has the file', () => scene.exists('up'))
  const result = await cli(scene, ['stop', './d.pid'])
  t.is(result.code, 1)
  t.regex(result.stderr, /^d: .*nothing was signalled/)
  isReadable(t, result)
  t.is((await cli(scene, ['status', './d.pid'])).code, 0)
})

test('files that are only called like ours stay, whatever verb they are given to', async t => {
  const scene = new Scene(t)
  const theirs = { 'package.json': '{"version":1,"name":"x"}', 'notes.txt': 'mine', 'app.json': '{}' }
  for (const [file, text] of Object.entries(theirs)) scene.write(file, text)
  for (const verb of ['stop', 'status', 'restart']) await cli(scene, [verb, './package', './app.pid', './notes.txt'])
  await cli(scene, ['status', '--clean', './package', './app.pid', './notes.txt'])
  const refused = await cli(scene, ['start', '--pid-file', './app.pid', '--', 'sleep', '1000'])
  t.is(refused.code, 2)
  t.regex(refused.stderr, /app\.json is in the way: .*; move it, or choose another name\n$/)
  for (const [file, text] of Object.entries(theirs)) t.is(scene.read(file), text)
  t.false(scene.exists('app.pid'))
})

test('a start that is refused leaves what is known of the daemon that runs', async t => {
  const scene = new Scene(t)
  const pid = await started(scene)
  const before = scene.read('run/web.json')
  for (const verb of ['start', 'run']) {
    const { code, stderr } = await cli(scene, [
      verb,
      '--pid-file',
      scene.path('run/web.pid'),
      '--name',
      'web',
      '--',
      'sleep',
      '1000',
    ])
    t.is(code, 1)
    t.regex(stderr, new RegExp(`already running as pid ${pid}`))
  }
  t.is(scene.read('run/web.json'), before)
})

test('all, or --all, is every daemon: that runs for stop and reload, that is known for restart', async t => {
  const scene = new Scene(t)
  // Its script listens on a port that the kernel chooses: two of it can be beside each other.
  await started(scene, 'one', ['--workers', '1', '--reload', 'roll-over'])
  const two = await started(scene, 'two')
  process.kill(two, 'SIGKILL')
  await scene.until('it has ended', () => PidLock.inspect(scene.path('run/two.pid')).state === 'free')
  const reloaded = await cli(scene, ['reload', 'all'])
  t.is(reloaded.code, 0, reloaded.stderr)
  t.regex(reloaded.stdout, /^one: reloaded \([^)]*\)\n$/)
  const restarted = await cli(scene, ['restart', '--all'])
  t.is(restarted.code, 0, restarted.stderr)
  t.regex(restarted.stdout, /^one: running as pid \d+ .*\ntwo: running as pid \d+ .*\n$/)
  const stopped = await cli(scene, ['stop', 'all'])
  t.is(stopped.code, 0, stopped.stderr)
  t.regex(stopped.stdout, /^one: stopped .*\ntwo: stopped .*\n$/)
  const nothing = await cli(scene, ['stop', '--all'])
  t.deepEqual([nothing.code, nothing.stdout, nothing.stderr], [0, '', 'no daemon is running\n'])
})

test('a daemon that is called all is no other', async t => {
  const scene = new Scene(t)
  await started(scene, 'all')
  const one = await started(scene, 'one')
  t.is((await cli(scene, ['stop', 'all'])).code, 0)
  t.is(PidLock.inspect(scene.path('run/one.pid')).pid, one)
})

withPython('what takes longer than a second is said on a terminal', async t => {
  const scene = new Scene(t)
  place(scene, 'never-stops', 'web.mjs')
  t.is((await cli(scene, ['start', 'web.mjs'])).code, 0)
  const { code, stdout } = await cliOnTerminal(scene, ['stop', 'web', '--timeout', '2s'])
  t.is(code, 0, stdout)
  t.regex(stdout, /web: stopping … 1\.\d s/)
  t.notRegex(stdout, /… 0\.\d s/)
})
