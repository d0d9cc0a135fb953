// command(): a program's own start, stop, restart, reload, status and run.
import { spawnSync } from 'node:child_process'
import test from 'ava'
import { PidLock } from 'daemonic'
import { isReadable } from './support/cli.js'
import { finished, fixture, type Result, type RunOptions, Scene } from './support/scene.js'

function app(
  scene: Scene,
  args: readonly string[],
  run: RunOptions = {},
  [by = process.execPath, ...flags]: readonly string[] = [],
): Promise<Result> {
  const node = by === process.execPath ? [] : [process.execPath]
  return scene.run(by, [...flags, ...node, fixture('scripts/app'), ...args], { ...run, env: environment(scene, run) })
}

const environment = (scene: Scene, run: RunOptions) => ({ DAEMONIC_RUNTIME_DIR: scene.path('run'), ...run.env })
/** What the program found when it was called first. */
async function called(scene: Scene): Promise<{ pid: number; detached: boolean; args: string[]; cwd: string }> {
  await scene.until('main was called', () => scene.exists('main') && scene.read('main').endsWith('\n'))
  return JSON.parse(lines(scene, 'main')[0] ?? '')
}
const lines = (scene: Scene, file: string) => scene.read(file).trim().split('\n')

test('start makes a daemon of the program, which finds its own arguments', async t => {
  const scene = new Scene(t)
  const { code, stderr } = await app(scene, ['start', '--port', '80', '-x'], { detach: 'auto' })
  t.is(code, 0, stderr)
  await scene.until('main was called', () => scene.exists('main') && scene.read('main').endsWith('\n'))
  const { pid, ...rest } = JSON.parse(scene.read('main'))
  t.deepEqual(rest, { detached: true, args: ['--port', '80', '-x'], cwd: '/' })
  t.deepEqual(PidLock.inspect(scene.path('run/app.pid')), { state: 'running', pid, verified: true })
  t.deepEqual(lines(scene, 'after'), [String(pid)], 'what follows the call runs in the daemon alone')
})

test('status, stop and a second stop say what they find, with the LSB’s codes', async t => {
  const scene = new Scene(t)
  t.is((await app(scene, ['status'])).code, 3)
  await app(scene, ['start'])
  const pid = Number(scene.read('run/app.pid'))
  const status = await app(scene, ['status'])
  t.is(status.code, 0)
  t.regex(status.stdout, new RegExp(`^app: running as pid ${pid}, since \\d{4}-.*Z: at work\n$`))
  const refused = await app(scene, ['start'])
  t.is(refused.code, 1)
  t.regex(refused.stderr, new RegExp(`^app: already running as pid ${pid} `))
  isReadable(t, refused)
  const stopped = await app(scene, ['stop'])
  t.is(stopped.code, 0)
  t.regex(stopped.stdout, new RegExp(`^app: stopped \\(pid ${pid}, `))
  const again = await app(scene, ['stop'])
  t.is(again.code, 0)
  t.regex(again.stdout, /^app: not running \(.*app\.pid\)\n$/)
})

test('restart replaces it, or starts what doesn’t run', async t => {
  const scene = new Scene(t)
  t.is((await app(scene, ['restart', 'one'])).code, 0)
  const first = scene.read('run/app.pid')
  const { code, stderr } = await app(scene, ['restart', 'two'])
  t.is(code, 0, stderr)
  t.not(scene.read('run/app.pid'), first)
  await scene.until('main was called twice', () => lines(scene, 'main').length === 2)
  t.deepEqual(JSON.parse(lines(scene, 'main')[1] ?? '').args, ['two'])
})

test('reload runs the hooks; of what doesn’t run it is 7', async t => {
  const scene = new Scene(t)
  const absent = await app(scene, ['reload'])
  t.is(absent.code, 7)
  t.regex(absent.stderr, /^app: not running/)
  await app(scene, ['start'])
  t.is((await app(scene, ['reload'])).code, 0)
  await scene.until('the hook has run', () => scene.exists('reloaded'))
})

test('run stays in the foreground', async t => {
  const scene = new Scene(t)
  const child = scene.spawnNode([fixture('scripts/app'), 'run', '-v'], { env: environment(scene, {}) })
  const end = finished(child)
  await scene.until('main was called', () => scene.exists('main') && scene.read('main').endsWith('\n'))
  t.like(JSON.parse(scene.read('main')), { pid: child.pid, detached: false, args: [], cwd: scene.directory })
  child.kill()
  t.is((await end).code, 0)
})

test('Open vSwitch’s options: --detach, --no-chdir, --pid-file, --monitor', async t => {
  const scene = new Scene(t)
  const args = ['--detach', '--no-chdir', `--pid-file=${scene.path('own.pid')}`, '--', '--monitor']
  const { code, stderr } = await app(scene, args)
  t.is(code, 0, stderr)
  t.true(scene.exists('own.pid'))
  await scene.until('main was called', () => scene.exists('main') && scene.read('main').endsWith('\n'))
  t.like(JSON.parse(scene.read('main')), { args: ['--', '--monitor'], cwd: scene.directory })
  const taken = await app(scene, ['--detach', `--pid-file=${scene.path('own.pid')}`, '--overwrite-pid-file'])
  t.is(taken.code, 0, taken.stderr)
  await scene.until('main was called twice', () => lines(scene, 'main').length === 2)

  const monitored = await app(scene, ['start', '--monitor'])
  t.is(monitored.code, 0, monitored.stderr)
  await scene.until('main was called again', () => lines(scene, 'main').length === 3)
  const { pid } = JSON.parse(lines(scene, 'main')[2] ?? '')
  t.not(pid, Number(scene.read('run/app.pid')), 'the supervisor has the file')
  process.kill(pid, 'SIGKILL')
  await scene.until('it is started again', () => lines(scene, 'main').length === 4)
  t.is((await app(scene, ['stop'])).code, 0)
})

test('help explains the options with their defaults as they resolve here', async t => {
  const scene = new Scene(t)
  for (const args of [['help'], ['--help'], ['-h'], ['start', '--help'], ['a.db', '--remote=x', '--help']]) {
    const { code, stdout } = await app(scene, args)
    t.is(code, 0)
    t.regex(stdout, /^Usage: app\.js start\|stop\|restart\|reload\|status\|run\|help /)
    t.true(stdout.includes(`default: ${scene.path('run/app.pid')}`))
  }
  t.true((await app(scene, ['explain'])).stdout.includes('--overwrite-pid-file'))
  t.false(scene.exists('main'))
})

/** Lines as people type them: what runs, and what the program finds in process.argv. */
const LINES: readonly (readonly [line: string, detached: boolean, args: string])[] = [
  ['', false, ''],
  ['a.db', false, 'a.db'],
  ['strat', false, 'strat'],
  ['--remote=x', false, '--remote=x'],
  ['-vconsole:off', false, '-vconsole:off'],
  ['--pidfile', false, ''],
  ['a.db --detach', true, 'a.db'],
  ['--remote x --detach b.db', true, '--remote x b.db'],
  ['run a.db', false, 'a.db'],
  ['run --detach', true, ''],
  ['start -h', true, '-h'],
  ['start -- --help -v', true, '-- --help -v'],
]

for (const [line, detached, args] of LINES) {
  test(`\`app ${line}\` runs the program ${detached ? 'in the background' : 'in the foreground'}`, async t => {
    const scene = new Scene(t)
    const words = (text: string) => text.split(' ').filter(Boolean)
    const child = scene.spawnNode([fixture('scripts/app'), ...words(line)], {
      env: environment(scene, {}),
      detach: 'auto',
    })
    const end = finished(child)
    const { args: found, ...rest } = await called(scene)
    t.deepEqual(found, words(args))
    t.is(rest.detached, detached)
    if (detached) t.is((await end).code, 0)
    else {
      t.is(rest.pid, Number(child.pid))
      child.kill()
      const { code, stdout } = await end
      t.is(code, 0)
      t.is(stdout, '', 'no usage')
    }
  })
}

test('a word that is nearly a command is handed on with a note', async t => {
  const scene = new Scene(t)
  const { stderr } = await app(scene, ['strat', '--detach'])
  t.regex(stderr, /^app: 'strat' is no command, and was handed on to the program; did you mean `start`\?\n$/)
})

test('a program without arguments refuses them: the nearest command is named, usage shown, and nothing runs', async t => {
  const scene = new Scene(t)
  const run = { env: { APP: JSON.stringify({ takesArguments: false }) } }
  const refusals = [
    [['strat'], /^app: Unknown command 'strat'; did you mean `start`\?\n\nUsage: /],
    [['start', 'a.db'], /^app: Unexpected argument 'a\.db': the program takes none\n\nUsage: /],
    [['--remote=x'], /^app: Unexpected argument '--remote=x': the program takes none\n\nUsage: /],
    [
      ['stop', '--pid-fil'],
      /^app: Unexpected argument '--pid-fil': the program takes none; did you mean `--pid-file`\?/,
    ],
  ] as const
  for (const [args, message] of refusals) {
    const result = await app(scene, args, run)
    t.is(result.code, 2)
    t.is(result.stdout, '')
    t.regex(result.stderr, message)
    isReadable(t, result)
  }
  t.false(scene.exists('main'))
  t.is((await app(scene, ['--detach', '-v'], run)).code, 0)
})

/** Spellings of the pid file, and what is left for the program. */
const PID_FILES: readonly (readonly [line: string, file: string, args: string])[] = [
  ['--pidfile', 'run/app.pid', ''],
  ['--pidfile=own.pid', 'run/own.pid', ''],
  ['--pidfile a.db', 'run/app.pid', 'a.db'],
  ['--pid-file', 'run/app.pid', ''],
  ['--pid-file=./own.pid', 'own.pid', ''],
  ['--pid-file ./own.pid a.db', 'own.pid', 'a.db'],
  ['--pid-file --remote=x', 'run/app.pid', '--remote=x'],
  ['a.db --pidfile=one.pid --pid-file two.pid', 'run/two.pid', 'a.db'],
]

for (const [line, file, args] of PID_FILES) {
  test(`\`start ${line}\` has the pid file ${file}`, async t => {
    const scene = new Scene(t)
    const words = (text: string) => text.split(' ').filter(Boolean)
    t.is((await app(scene, ['start', ...words(line)])).code, 0)
    const { pid, args: found } = await called(scene)
    t.is(Number(scene.read(file)), pid)
    t.deepEqual(found, words(args))
  })
}

test('start and restart say what runs; --detach alone is silent', async t => {
  const scene = new Scene(t)
  const run = { env: { APP: JSON.stringify({ listen: { http: { port: 0, host: '127.0.0.1' } }, ready: 'loaded' }) } }
  const started = await app(scene, ['start'], run)
  const { pid } = await called(scene)
  t.regex(
    started.stdout,
    new RegExp(`^app: running as pid ${pid}, listening on http://127\\.0\\.0\\.1:\\d+ \\(\\d+(\\.\\d)? m?s\\)\n$`),
  )
  const restarted = await app(scene, ['restart'], run)
  t.regex(restarted.stdout, /^app: stopped .*\napp: running as pid \d+, listening on .*\n$/)
  await app(scene, ['stop'])
  const silent = await app(scene, ['--detach', '--monitor'])
  t.like(silent, { code: 0, stdout: '', stderr: '' })
  await app(scene, ['stop'])
  const supervised = await app(scene, ['start', '--monitor'])
  t.regex(supervised.stdout, new RegExp(`^app: running as pid ${scene.read('run/app.pid').trim()} \\(`))
})

test('ovsdb-server’s lines, as its manuals have them', async t => {
  const remote = '--remote=punix:db.sock'
  const lines: readonly (readonly [line: string, args: string])[] = [
    [`--detach --no-chdir --pidfile --log-file ${remote} db`, `--log-file ${remote} db`],
    [
      `${remote} --remote=db:Open_vSwitch,manager_options --pidfile --detach`,
      `${remote} --remote=db:Open_vSwitch,manager_options`,
    ],
    [`-vfile -vvlog:off --detach --no-chdir --pidfile ${remote} db`, `-vfile -vvlog:off ${remote} db`],
    [
      `-v -vconsole:off -vsyslog:off --detach --no-chdir --pidfile=s1.pid --unixctl=s1 s1.db`,
      '-vconsole:off -vsyslog:off --unixctl=s1 s1.db',
    ],
    ['--detach --no-chdir --pidfile --monitor --overwrite-pidfile --no-db --verbose=DBG', '--no-db --verbose=DBG'],
  ]
  for (const [line, args] of lines) {
    const scene = new Scene(t)
    const { code, stdout, stderr } = await app(scene, line.split(' '))
    t.is(code, 0, stderr)
    t.is(stdout, '')
    const { args: found, cwd } = await called(scene)
    t.deepEqual(found, args.split(' '), line)
    t.is(cwd, line.includes('--no-chdir') ? scene.directory : '/')
  }
})

/** What each level adds to the log of a start, a reload and a stop, once taken over from a daemon that was killed. */
const LEVELS = [
  [/ info: started in the background as pid \d+, /, / info: ready after \d+ ms\n/, / info: reopened 0 logs\n/],
  [
    / debug: working directory \/, umask 022, user \d+, /,
    / debug: reload hook 1 of 1 is done/,
    / debug: stop hook 1 of 1 is done/,
  ],
  [/ trace: SIGHUP: reload\n/, / trace: status: at work\n/],
]

for (const [flags, level] of [
  [[], 0],
  [['-v'], 1],
  [['-vv'], 2],
  [['-vvv'], 3],
  [['-v', '-vv'], 3],
] as const) {
  test(`\`start ${flags.join(' ')}\` logs what the levels up to ${level} have, and no more`, async t => {
    const scene = new Scene(t)
    await app(scene, ['start'])
    const { pid } = await called(scene)
    process.kill(pid, 'SIGKILL')
    await scene.empty()
    scene.write('app.log', '')
    const started = await app(scene, ['start', ...flags])
    t.is(started.code, 0)
    t.is(/^app: .*app\.pid was left by pid \d+: taking it over$/m.test(started.stderr), level > 0, started.stderr)
    await app(scene, ['reload'])
    await scene.until('the hook has run', () => scene.exists('reloaded'))
    await app(scene, ['stop'])
    await scene.empty()
    const log = scene.read('app.log')
    for (const [each, patterns] of LEVELS.entries())
      for (const pattern of patterns) t.is(pattern.test(log), each < level, `${pattern} in:\n${log}`)
    t.regex(log, / info: stopping on SIGTERM\n/)
    t.is(/ info: exits with 0 after \d+ ms of stopping\n/.test(log), level > 0)
  })
}

const hasStrace = spawnSync('strace', ['-V']).status === 0

test('-v tells of a race that another start has won', async t => {
  if (!hasStrace) return void t.pass('skipped: strace holds one of two starts up')
  const scene = new Scene(t)
  // Held up before it opens the pid file the third time, to lock it; twice it has looked whether anybody has it.
  const slowly = ['-f', '-o', scene.path('calls'), '-P', scene.path('run/app.pid'), '-e', 'trace=openat']
  const inject = ['-e', 'inject=openat:delay_enter=3000000:when=3']
  const late = app(scene, ['start', '-v'], {}, ['strace', ...slowly, ...inject])
  const looks = () => (scene.exists('calls') ? scene.read('calls').match(/app\.pid.*=/g)?.length : 0)
  await scene.until('it has looked', () => looks() === 2)
  t.is((await app(scene, ['start'])).code, 0)
  const { code, stderr } = await late
  t.is(code, 1)
  t.regex(stderr, /^app: lost the race for .*app\.pid to pid \d+\napp: already running as pid \d+ /)
})

test('an empty pid file’s name is refused', async t => {
  const scene = new Scene(t)
  const empty = await app(scene, ['start', '--pid-file='])
  t.is(empty.code, 2)
  isReadable(t, empty)
})
