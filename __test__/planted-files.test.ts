// Files that somebody else has put where a daemon's files are: none is executed, believed or waited for.
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import test, { type ExecutionContext } from 'ava'
import { PidLock } from 'daemonic'
import type { Programs } from './fixtures/hostile.js'
import { CLI, cli, cliEnvironment, place, started } from './support/cli.js'
import { asRoot, locks, NOBODY, owns } from './support/locks.js'
import { programs, type Result, type RunOptions, Scene, script } from './support/scene.js'

const hostile = programs<Programs>('hostile')
/** Another user than {@link NOBODY}, without an account. */
const SOMEBODY = 54_321
/** How long a command may take that has nothing to wait for, in seconds. */
const PATIENCE = '20'
/** More than any buffer, in bytes. */
const HUGE = 3 * 1024 ** 3

/** Runs the command, and kills it where it hangs: then its exit code is 137. */
function impatiently(scene: Scene, args: readonly string[], run: RunOptions = {}): Promise<Result> {
  const env = { ...cliEnvironment(scene), ...run.env }
  return scene.run('timeout', ['-s', 'KILL', PATIENCE, process.execPath, CLI, ...args], { ...run, env })
}

/** What a state file says, of a daemon that would note who it runs as. */
function stateOf(scene: Scene, more: object = {}): object {
  const program = scene.write('evil.sh', `#!/bin/sh\nid -u > ${scene.path('proof')}\n`)
  chmodSync(program, 0o755)
  return {
    version: 1,
    name: 'd',
    pid: 1,
    arguments: [program],
    directory: '/',
    logs: [],
    addresses: {},
    stopTimeout: 1_000,
    supervised: false,
    startedAt: 0,
    ...more,
  }
}

for (const read of [1, 2, 3, 4]) {
  asRoot(`restart executes nothing out of a file that is swapped while it is read: ${read}`, async t => {
    const scene = new Scene(t)
    scene.giveTo(NOBODY)
    const attacker = { uid: NOBODY, gid: NOBODY }
    const json = scene.path('d.json')
    const swapping = [script('swaps-a-fifo.py'), json, JSON.stringify(stateOf(scene)), '/etc/passwd', String(read)]
    const attack = scene.spawn('python3', swapping, attacker)
    await scene.until('the fifo is there', () => existsSync(json))
    const { code } = await impatiently(scene, ['restart', './d.pid'])
    attack.kill('SIGKILL')
    t.false(scene.exists('proof'))
    t.is(code, 1)
  })
}

asRoot(
  'restart executes what its own user or root wrote alone, in a file with one name that others can’t write',
  async t => {
    const scene = new Scene(t)
    const plant = () => writeFileSync(scene.path('d.json'), JSON.stringify(stateOf(scene)), { mode: 0o600 })
    const isNotExecuted = async (why: RegExp) => {
      const { code, stderr } = await impatiently(scene, ['restart', './d.pid'])
      t.false(scene.exists('proof'))
      t.is(code, 1)
      t.regex(stderr, why)
      rmSync(scene.path('d.json'))
    }
    plant()
    chownSync(scene.path('d.json'), NOBODY, NOBODY)
    await isNotExecuted(/d\.json belongs to user 65534: restart it as that user/)
    plant()
    linkSync(scene.path('d.json'), scene.path('other'))
    await isNotExecuted(/how it was started is not known/)
    rmSync(scene.path('other'))
    plant()
    chmodSync(scene.path('d.json'), 0o620)
    await isNotExecuted(/how it was started is not known/)
    plant()
    renameSync(scene.path('d.json'), scene.path('target'))
    symlinkSync(scene.path('target'), scene.path('d.json'))
    await isNotExecuted(/how it was started is not known/)
  },
)

/** The run directory of a user without a home lies in the temporary directory. */
const WITHOUT_HOME = { DAEMONIC_RUNTIME_DIR: undefined, XDG_STATE_HOME: undefined, HOME: '/nowhere' }

asRoot('no verb believes the run directory of another user', async t => {
  const scene = new Scene(t)
  chmodSync(scene.directory, 0o1777)
  // Where SOMEBODY without a home would have the run directory, NOBODY was first.
  const directory = scene.path(`daemonic-${SOMEBODY}`)
  mkdirSync(directory)
  chownSync(directory, NOBODY, NOBODY)
  scene.write(`daemonic-${SOMEBODY}/d.pid`, '4242\n')
  scene.write(`daemonic-${SOMEBODY}/d.json`, JSON.stringify(stateOf(scene)))
  const env = { ...WITHOUT_HOME, TMPDIR: scene.directory }
  const verbs = ['status', 'stop', 'restart', 'reload', 'reopen', 'logs'].map(verb => [verb, 'd'])
  for (const verb of [...verbs, ['signal', 'd', 'HUP'], ['scale', 'd', '2'], ['status']]) {
    const { code, stderr } = await impatiently(scene, verb, { env, uid: SOMEBODY, gid: SOMEBODY })
    t.is(code, 1, verb.join(' '))
    t.regex(stderr, /daemonic-54321 belongs to another user/, verb.join(' '))
  }
})

asRoot('a link in the place of the run directory is not followed, wherever it leads', async t => {
  const scene = new Scene(t)
  chmodSync(scene.directory, 0o1777)
  mkdirSync(scene.path('own'))
  chownSync(scene.path('own'), SOMEBODY, SOMEBODY)
  symlinkSync(scene.path('own'), scene.path(`daemonic-${SOMEBODY}`))
  const env = { ...WITHOUT_HOME, TMPDIR: scene.directory }
  const { code, stderr } = await impatiently(scene, ['status', 'd'], { env, uid: SOMEBODY, gid: SOMEBODY })
  t.is(code, 1)
  t.regex(stderr, /belongs to another user/)
})

asRoot('what a stranger’s state file says of a daemon isn’t shown', async t => {
  const scene = new Scene(t)
  const pid = await started(scene)
  const state = JSON.parse(scene.read('run/web.json'))
  const planted = { ...state, logs: ['/planted'], addresses: { web: '/planted' } }
  rmSync(scene.path('run/web.json'))
  scene.write('run/web.json', JSON.stringify(planted))
  chmodSync(scene.path('run/web.json'), 0o600)
  const shown = async () => JSON.parse((await cli(scene, ['status', '--json', 'web'])).stdout).daemons[0]
  t.like(await shown(), { pid, logs: ['/planted'] }) // a file of its own user is believed
  chownSync(scene.path('run/web.json'), NOBODY, NOBODY)
  t.like(await shown(), { pid, logs: [] })
})

/** What somebody may put in the place of a file. */
const HOSTILE: Record<string, (path: string) => void> = {
  'a fifo': path => execFileSync('mkfifo', [path]),
  'a link to /dev/zero': path => symlinkSync('/dev/zero', path),
  'a link to a fifo': path => {
    execFileSync('mkfifo', [`${path}.fifo`])
    symlinkSync(`${path}.fifo`, path)
  },
  'a file of 3 GB': path => {
    closeSync(openSync(path, 'w', 0o600))
    truncateSync(path, HUGE)
  },
}

for (const [what, put] of Object.entries(HOSTILE)) {
  test(`${what} in the place of the state file keeps no verb waiting`, async t => {
    const scene = new Scene(t)
    mkdirSync(scene.path('run'))
    put(scene.path('run/d.json'))
    await owns(scene, scene.spawnNode(locks('owns', 'run/d.pid')), 'run/d.pid')
    const has = (code: number, result: Result) => t.is(result.code, code, result.stderr)
    has(0, await impatiently(scene, ['status', 'd']))
    has(0, await impatiently(scene, ['status']))
    has(1, await impatiently(scene, ['logs', 'd']))
    has(1, await impatiently(scene, ['restart', 'd']))
    has(0, await impatiently(scene, ['stop', 'd']))
    t.is(PidLock.inspect(scene.path('run/d.pid')).state, 'absent')
  })

  test(`${what} in the place of a log is not waited for, nor read to its end`, async t => {
    const scene = new Scene(t)
    mkdirSync(scene.path('state'))
    put(scene.path('state/d.log'))
    const result = await impatiently(scene, ['logs', 'd'])
    if (what.includes('3 GB')) hasPrintedLittle(t, result)
    else {
      t.is(result.code, 1)
      t.regex(result.stderr, /^d: cannot open the log .*d\.log: (EINVAL|ELOOP)/)
    }
  })
}

test('a supervisor that answers without end, and never with a newline, is not waited for', async t => {
  const scene = new Scene(t)
  mkdirSync(scene.path('run'))
  const { pid = 0 } = scene.spawnNode(hostile('answersWithoutEnd'))
  await scene.until('it listens', () => scene.exists('listens'))
  scene.write('run/d.json', JSON.stringify({ ...stateOf(scene), pid, supervised: true }))
  chmodSync(scene.path('run/d.json'), 0o600)
  t.is((await impatiently(scene, ['status', 'd'])).code, 0)
  const { code, stderr } = await impatiently(scene, ['reopen', 'd'])
  t.is(code, 1)
  t.regex(stderr, /cannot ask the supervisor at .*d\.sock: ETIMEDOUT/)
})

test('who holds the lock of a restart is waited for as long as a restart takes, and named', async t => {
  const scene = new Scene(t)
  await started(scene, 'web', ['--start-timeout', '500ms', '--stop-timeout', '500ms'])
  const holder = scene.spawnNode(locks('owns', 'run/web.restart'))
  await owns(scene, holder, 'run/web.restart')
  const { code, stderr } = await impatiently(scene, ['restart', 'web'])
  t.is(code, 1)
  t.regex(stderr, new RegExp(`^web: pid ${holder.pid} has been restarting it for 1000 ms`))
})

/** Of a line without an end only the end is shown. */
function hasPrintedLittle(t: ExecutionContext, { code, stdout, stderr }: Result): void {
  t.is(code, 0, stderr)
  t.true(stdout.length > 0 && stdout.length < 4 * 1024 ** 2)
}

test('a large log of one line without an end and of many short ones is shown without being held in memory', async t => {
  const scene = new Scene(t)
  mkdirSync(scene.path('state'))
  truncateSync(scene.write('state/d.log', ''), HUGE / 12)
  const fd = openSync(scene.path('state/d.log'), 'a')
  writeFileSync(fd, '\n'.repeat(8 * 1024 ** 2))
  closeSync(fd)
  const { code, stderr } = await impatiently(scene, ['logs', 'd', '--since', '1d'], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { NODE_OPTIONS: '--max-old-space-size=48' },
  })
  t.is(code, 0, stderr)
})

test('a clock that was set back doesn’t keep a daemon from being restarted', async t => {
  const scene = new Scene(t)
  const first = await started(scene)
  const state = JSON.parse(scene.read('run/web.json'))
  // As if the clock had been an hour ahead at the start.
  scene.write('run/web.json', JSON.stringify({ ...state, startedAt: Date.now() + 3_600_000 }))
  const { code, stdout, stderr } = await cli(scene, ['restart', 'web'])
  t.is(code, 0, stderr)
  t.notRegex(stdout, /restarted meanwhile/)
  t.not(PidLock.inspect(scene.path('run/web.pid')).pid, first)
})

asRoot('a daemon whose restart failed on a full disk can be restarted when there is room again', async t => {
  const scene = new Scene(t)
  mkdirSync(scene.path('run'))
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', scene.path('run')], { stdio: 'ignore' })
  } catch {
    t.pass('skipped: this container may not mount')
    return
  }
  t.teardown(() => execFileSync('umount', ['-l', scene.path('run')]))
  await started(scene, 'web', ['--umask', '077'])
  const full = scene.path('run/full')
  scene.write(
    'web.mjs',
    `import { appendFileSync } from 'node:fs'
for (;;) try { appendFileSync(${JSON.stringify(full)}, 'x') } catch { process.exit(9) }\n`,
  )
  t.is((await cli(scene, ['restart', 'web'])).code, 9)
  rmSync(full)
  place(scene, 'server', 'web.mjs')
  const { code, stderr } = await cli(scene, ['restart', 'web'])
  t.is(code, 0, stderr)
  t.is(JSON.parse(scene.read('run/web.json')).launch.options.umask, 0o077)
  t.deepEqual(readdirSync(scene.path('run')).sort(), ['web.json', 'web.pid', 'web.sock'])
})

asRoot('restart stops nothing where there is no room to note how to start again', async t => {
  const scene = new Scene(t)
  const pid = await started(scene)
  mkdirSync(scene.path('run/web.json.last')) // as if the file could not be written
  const result = await cli(scene, ['restart', 'web'])
  t.is(result.code, 1)
  t.regex(result.stderr, /^web: cannot write the state file .*web\.json\.last: EEXIST/)
  t.is(PidLock.inspect(scene.path('run/web.pid')).pid, pid)
})
