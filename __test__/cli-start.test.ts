// `daemonic start`: scripts that know nothing of daemons, and those that do.
import { readFileSync, realpathSync } from 'node:fs'
import test from 'ava'
import { PidLock, processInfo } from 'daemonic'
import { cli, cliOnTerminal, isReadable, place, placeEnding, spawnCli, started, workerOf } from './support/cli.js'
import { withPython } from './support/locks.js'
import { finished, Scene } from './support/scene.js'

const hello = (pid: number) => new RegExp(`^web: running as pid ${pid} \\(\\d+ ms\\)\n$`)

test('a script becomes a daemon with a log and a pid file, and stays where it was started', async t => {
  const scene = new Scene(t)
  place(scene, 'server', 'web.mjs')
  const { code, stdout, stderr } = await cli(scene, ['start', 'web.mjs', '--port', '80'])
  t.is(code, 0, stderr)
  const pid = Number(scene.read('run/web.pid'))
  t.regex(stdout, hello(pid))
  t.is(stderr, '')
  t.deepEqual(PidLock.inspect(scene.path('run/web.pid')), { state: 'running', pid, verified: true })
  t.is(processInfo(pid).tty, null)
  await scene.until('it has logged', () => scene.read('state/web.log').includes(' listening\n'))
  t.is(realpathSync(`/proc/${await workerOf(scene, 'web')}/cwd`), scene.directory)
})

test('everything after the script is the script’s', async t => {
  const scene = new Scene(t)
  place(scene, 'prints-arguments', 'args.mjs')
  const { code, stderr } = await cli(scene, [
    'start',
    '-q',
    'args.mjs',
    '--name',
    'x',
    '-v',
    '--json',
    'a b',
    '--',
    '-',
  ])
  t.is(code, 0, stderr)
  await scene.until('it has logged', () => scene.read('state/args.log').endsWith('\n'))
  t.deepEqual(JSON.parse(scene.read('state/args.log')), ['--name', 'x', '-v', '--json', 'a b', '--', '-'])
})

test('a second start is refused with the pid, or content with the running one', async t => {
  const scene = new Scene(t)
  const pid = await started(scene)
  const refused = await cli(scene, ['start', 'web.mjs'])
  t.is(refused.code, 1)
  t.is(refused.stdout, '')
  t.is(refused.stderr, `web: already running as pid ${pid}\n`)
  const reused = await cli(scene, ['start', '--if-running', 'reuse', 'web.mjs'])
  t.is(reused.code, 0)
  t.is(reused.stdout, `web: already running as pid ${pid}\n`)
  const { started: isStarted, pid: same } = JSON.parse(
    (await cli(scene, ['start', '--if-running=reuse', '--json', 'web.mjs'])).stdout,
  )
  t.deepEqual([isStarted, same], [false, pid])
})

test('--json tells name, pid, started, pidFile, addresses and elapsed', async t => {
  const scene = new Scene(t)
  place(scene, 'server', 'web.mjs')
  const { stdout } = await cli(scene, [
    'start',
    '--json',
    '--ready=loaded',
    '--listen',
    '127.0.0.1:0',
    '--listen',
    'it=./it.sock',
    'web.mjs',
  ])
  const { elapsed, addresses, pid, ...rest } = JSON.parse(stdout)
  t.deepEqual(rest, { name: 'web', started: true, pidFile: scene.path('run/web.pid') })
  t.is(pid, Number(scene.read('run/web.pid')))
  t.true(elapsed > 0)
  t.deepEqual(Object.keys(addresses), ['http', 'it'])
  t.is(addresses.it, scene.path('it.sock'))
  const { stdout: said } = await cli(scene, ['status', 'web'])
  t.true(said.includes(addresses.http))
})

test('where it listens is said as a link', async t => {
  const scene = new Scene(t)
  place(scene, 'server', 'web.mjs')
  const { stdout } = await cli(scene, [
    'start',
    '--ready=loaded',
    '--listen',
    '127.0.0.1:0',
    '--listen',
    'raw=127.0.0.1:0',
    'web.mjs',
  ])
  t.regex(stdout, /^web: running as pid \d+, listening on http:\/\/127\.0\.0\.1:\d+, 127\.0\.0\.1:\d+ \(\d+ ms\)\n$/)
})

test('options of the process reach it', async t => {
  const scene = new Scene(t)
  scene.write('more.env', 'FROM_FILE=file\nBOTH=file\n')
  place(scene, 'prints-its-surroundings', 'probe.mjs')
  const options = ['--env', 'GIVEN=a=b', '--env', 'BOTH=option', '--env', 'GONE', '--chdir', '/', '--umask', '027']
  const more = [
    '--env-file',
    'more.env',
    '--name',
    'other',
    '--log',
    'own.log',
    '--limit',
    'nofile=100:200',
    '--pid-file',
    './p.pid',
  ]
  const { code, stderr } = await cli(scene, ['start', ...options, ...more, 'probe.mjs'], { env: { GONE: 'there' } })
  t.is(code, 0, stderr)
  await scene.until('it has logged', () => scene.read('own.log').endsWith('\n'))
  t.deepEqual(JSON.parse(scene.read('own.log')), {
    FROM_FILE: 'file',
    BOTH: 'option',
    GONE: null,
    GIVEN: 'a=b',
    cwd: '/',
    umask: 0o027,
    title: 'other',
  })
  t.true(scene.exists('p.pid'))
  const worker = await workerOf(scene, './p.pid')
  t.regex(readFileSync(`/proc/${worker}/limits`, 'utf8'), /Max open files +100 +200 /)
})

test('a program that calls daemonize() is started once, and what the command says wins', async t => {
  const scene = new Scene(t)
  place(scene, 'wants-other-names', 'app.mjs')
  const { code, stdout, stderr } = await cli(scene, ['start', 'app.mjs'])
  t.is(code, 0, stderr)
  const pid = Number(scene.read('run/app.pid'))
  t.true(stdout.startsWith(`app: running as pid ${pid}`))
  t.false(scene.exists('inner.pid'))
  const [line = '', ...more] = scene.read('pids').trim().split('\n')
  t.deepEqual(more, [])
  t.is(line.split(' ')[0], line.split(' ')[1])
})

test('a start that fails ends with the program’s exit code and shows the end of its stderr', async t => {
  const scene = new Scene(t)
  placeEnding(scene, 'bad.mjs', { says: 'no database', exits: 12 })
  const result = await cli(scene, ['start', 'bad.mjs'])
  t.is(result.code, 12)
  t.regex(result.stderr, /^bad: the daemon exited with 12 before it was ready; it wrote:\n {4}no database\n$/)
  t.is(result.stdout, '')
  placeEnding(scene, 'zero.mjs', { exits: 0 })
  t.is((await cli(scene, ['start', 'zero.mjs'])).code, 1)
  placeEnding(scene, 'killed.mjs', { kills: 'SIGKILL' })
  t.is((await cli(scene, ['start', 'killed.mjs'])).code, 137)
  placeEnding(scene, 'slow.mjs', { hangs: 'waiting' })
  const slow = await cli(scene, ['start', '--start-timeout', '300ms', 'slow.mjs'])
  t.is(slow.code, 124)
  t.regex(slow.stderr, /^slow: the daemon was not ready after 300 ms and was ended\n/)
  t.deepEqual(scene.processes(), [])
})

test('a missing script or program is 127, one that can’t be executed 126', async t => {
  const scene = new Scene(t)
  scene.write('text', 'no program')
  for (const [args, code, says] of [
    [['missing.js'], 127, /^missing: cannot execute .*missing\.js: ENOENT/],
    [['--', 'no-such-program'], 127, /^no-such-program: cannot execute.*ENOENT.*PATH/],
    [['--', './text'], 126, /^text: cannot execute .*text: EACCES/],
    [['--interpreter', 'no-such-shell', 'text'], 127, /^text: cannot execute.*ENOENT/],
  ] as const) {
    const result = await cli(scene, ['start', ...args])
    t.regex(result.stderr, says)
    t.is(result.code, code)
    isReadable(t, result)
  }
})

test('-q says nothing but errors', async t => {
  const scene = new Scene(t)
  place(scene, 'server', 'web.mjs')
  const { code, stdout, stderr } = await cli(scene, ['start', '-q', 'web.mjs'])
  t.deepEqual([code, stdout, stderr], [0, '', ''])
  t.regex((await cli(scene, ['start', '-q', 'web.mjs'])).stderr, /already running/)
})

test('with --instance the name is the target', async t => {
  const scene = new Scene(t)
  place(scene, 'server', 'web.mjs')
  const { stdout } = await cli(scene, ['start', '--instance', 'project', '--json', 'web.mjs'])
  const { name } = JSON.parse(stdout)
  t.regex(name, /^web@/)
  t.is((await cli(scene, ['stop', name])).code, 0)
})

test('-vvvv is -vvv', async t => {
  const scene = new Scene(t)
  const pid = await started(scene, 'web', ['-vvvv'])
  t.true(pid > 0)
  t.true(readFileSync(`/proc/${await workerOf(scene, 'web')}/environ`, 'utf8').includes('DAEMONIC_LOG=trace\0'))
})

test('--overwrite-pid-file takes over the default file', async t => {
  const scene = new Scene(t)
  const first = await started(scene)
  const { code, stdout, stderr } = await cli(scene, ['start', '--overwrite-pid-file', 'web.mjs'])
  t.is(code, 0, stderr)
  t.not(Number(scene.read('run/web.pid')), first)
  t.true(stdout.includes('running as pid'))
  t.true(process.kill(first, 0), 'the other one goes on')
  process.kill(first)
})

withPython('on a terminal a line tells that it waits, and is gone when it is over', async t => {
  const scene = new Scene(t)
  place(scene, 'boots-slowly', 'slow.mjs')
  const { code, stdout } = await cliOnTerminal(scene, ['start', 'slow.mjs'])
  t.is(code, 0, stdout)
  t.regex(stdout, /slow: starting … \d+\.\d s/)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the line is erased
  const [, seconds] = /\r\x1b\[Kslow: running as pid \d+ \((\d+\.\d) s\)\r\n$/.exec(stdout) ?? []
  t.true(Number(seconds) >= 1.2, stdout)
})

test('who interrupts a start wants no daemon', async t => {
  const scene = new Scene(t)
  place(scene, 'boots-for-ever', 'slow.mjs')
  const child = spawnCli(scene, ['start', 'slow.mjs'])
  const end = finished(child)
  await scene.until(
    'it boots',
    () => scene.exists('state/slow.log') && scene.read('state/slow.log').includes('booting'),
  )
  child.kill('SIGINT')
  const { code, stdout, stderr } = await end
  t.deepEqual([code, stdout, stderr], [130, '', 'slow: the start was interrupted\n'])
  await scene.empty()
  t.false(scene.exists('run/slow.pid'))
})
