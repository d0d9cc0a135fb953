// `daemonic status`: a table, JSON, exit codes, leftovers, and watching.
import { mkdirSync, writeFileSync } from 'node:fs'
import test from 'ava'
import { PidLock } from 'daemonic'
import { cli, cliOnTerminal, isReadable, spawnCli, started } from './support/cli.js'
import { asRoot, foreignLock, NOBODY, withPython } from './support/locks.js'
import { type Result, Scene } from './support/scene.js'

const lines = ({ stdout }: Result) => stdout.replaceAll('\r', '').trimEnd().split('\n')

/** Killed, so that its files stay. */
async function crashed(scene: Scene, name: string): Promise<number> {
  const pid = await started(scene, name)
  process.kill(pid, 'SIGKILL')
  await scene.until('it has ended', () => PidLock.inspect(scene.path(`run/${name}.pid`)).state === 'free')
  return pid
}

test('without a target every daemon of the run directory is in the table', async t => {
  const scene = new Scene(t)
  const a = await started(scene, 'alpha')
  const b = await started(scene, 'beta', ['--listen', '127.0.0.1:0', '--ready', 'loaded'])
  const result = await cli(scene, ['status'])
  t.is(result.code, 0, result.stderr)
  const [title = '', first = '', second = '', ...more] = lines(result)
  t.deepEqual(more, [])
  t.regex(title, /^NAME +PID +STATE +UPTIME +WORKERS +RESTARTS +MEMORY +CPU +LISTENING$/)
  t.regex(first, new RegExp(`^alpha +${a} +running +\\d+s +1 .*\\d[KM] +[\\d.]+% +-$`))
  t.regex(second, new RegExp(`^beta +${b} +running .* 127\\.0\\.0\\.1:\\d+$`))
})

test('where there is none, it says so', async t => {
  const result = await cli(new Scene(t), ['status'])
  t.deepEqual([result.code, result.stdout], [0, ''])
  t.regex(result.stderr, /^no daemons/)
  t.is((await cli(new Scene(t), ['status', '--json'])).stdout, '{"version":1,"daemons":[]}\n')
})

test('the exit code is the LSB’s', async t => {
  const scene = new Scene(t)
  await started(scene, 'up')
  await crashed(scene, 'dead')
  writeFileSync(scene.path('run/void.pid'), '')
  for (const [target, code] of [
    ['up', 0],
    ['dead', 1],
    ['absent', 3],
    ['void', 3],
  ] as const) {
    const result = await cli(scene, ['status', target])
    t.is(result.code, code, target)
    isReadable(t, result)
  }
  t.is((await cli(scene, ['status', 'up', 'dead'])).code, 1)
  t.is((await cli(scene, ['status', '-q', 'absent'])).stdout, '')
})

asRoot('what may not be read is unknown: 4', async t => {
  const scene = new Scene(t)
  scene.giveTo(NOBODY)
  mkdirSync(scene.path('closed'), { mode: 0o700 })
  writeFileSync(scene.path('closed/d.pid'), '1\n')
  const stranger = { uid: NOBODY, gid: NOBODY }
  const result = await cli(scene, ['status', './closed/d.pid'], stranger)
  t.is(result.code, 4)
  t.regex(result.stdout, /^d +- +unknown/m)
  t.regex(result.stderr, /EACCES/)
  const json = JSON.parse((await cli(scene, ['status', '--json', './closed/d.pid'], stranger)).stdout)
  t.like(json.daemons[0], { name: 'd', state: 'unknown', error: { code: 'EACCES' } })
})

test('--json has a version, and all that is known of each', async t => {
  const scene = new Scene(t)
  const pid = await started(scene, 'web', ['--listen', '127.0.0.1:0', '--ready', 'loaded'])
  const { stdout } = await cli(scene, ['status', '--json', 'web', 'other'])
  const { version, daemons } = JSON.parse(stdout)
  t.is(version, 1)
  t.like(daemons[0], {
    name: 'web',
    state: 'running',
    pid,
    verified: true,
    pidFile: scene.path('run/web.pid'),
    logs: [scene.path('state/web.log')],
    stopTimeout: 25_000,
  })
  t.is(daemons[0].workers.length, 1)
  t.true(daemons[0].workers[0].rss > 0)
  t.like(daemons[1], { name: 'other', state: 'stopped', pid: null, workers: [] })
})

test('pid files of other programs are nobody’s daemons', async t => {
  const scene = new Scene(t)
  await started(scene, 'ours')
  writeFileSync(scene.path('run/theirs.pid'), '1\n')
  const result = await cli(scene, ['status', '--clean'])
  t.false(result.stdout.includes('theirs'))
  t.true(scene.exists('run/theirs.pid'))
})

test('what crashed is shown, and removed by --clean', async t => {
  const scene = new Scene(t)
  const pid = await crashed(scene, 'gone')
  await started(scene, 'up')
  const shown = await cli(scene, ['status'])
  t.regex(shown.stdout, new RegExp(`^gone +${pid} +dead`, 'm'))
  t.is(
    shown.stderr,
    'not running any more: gone; `daemonic restart NAME` starts one again, `daemonic status --clean` forgets them\n',
  )
  const cleaned = await cli(scene, ['status', '--clean'])
  t.is(cleaned.code, 0, cleaned.stderr)
  t.false(scene.exists('run/gone.pid'))
  t.false(scene.exists('run/gone.json'))
  t.true(scene.exists('run/up.pid'))
})

withPython('on a terminal nothing is asked', async t => {
  const scene = new Scene(t)
  await crashed(scene, 'gone')
  const { code, stdout } = await cliOnTerminal(scene, ['status'])
  t.is(code, 0, stdout)
  t.regex(stdout, /`daemonic status --clean` forgets them/)
  t.true(scene.exists('run/gone.pid'))
})

withPython('a table is as wide as the terminal, down to 40 columns and less', async t => {
  const scene = new Scene(t)
  await started(scene, 'a-name-that-is-rather-long-for-a-daemon-of-its-kind', [
    '--listen',
    '127.0.0.1:0',
    '--ready',
    'loaded',
  ])
  await started(scene, 'web', ['--listen', '127.0.0.1:0', '--ready', 'loaded'])
  for (const columns of [200, 100, 80, 60, 40, 20, 10]) {
    const result = await cliOnTerminal(scene, ['status'], { columns, env: { NO_COLOR: '1' } })
    t.is(result.code, 0)
    for (const line of lines(result)) t.true(line.length <= columns, `${columns}: ${line}`)
    t.regex(result.stdout, /^NAME/)
    if (columns >= 20) t.regex(result.stdout, /^web +(\d+ +)?running/m)
  }
})

withPython('--watch redraws in place, with charts, until it is interrupted', async t => {
  const scene = new Scene(t)
  await started(scene, 'web')
  // A chart of two values, by which time the CPU is known too.
  const { code, stdout } = await cliOnTerminal(scene, ['status', '--watch'], { columns: 120, dialog: [['██', '\x03']] })
  t.is(code, 0, stdout)
  t.regex(stdout, /web +\d+ +running/)
  t.true(stdout.split('NAME').length > 2, 'drawn more than once')
  t.false(stdout.includes('\x1b[2J'), 'the screen is not cleared')
})

test('--watch --json is a line a second', async t => {
  const scene = new Scene(t)
  await started(scene, 'web')
  const child = spawnCli(scene, ['status', '--watch', '--json'])
  let text = ''
  child.stdout?.setEncoding('utf8').on('data', chunk => (text += chunk))
  await scene.until('two lines', () => text.split('\n').length > 2)
  child.kill()
  for (const line of text.split('\n').slice(0, 2)) t.is(JSON.parse(line).daemons[0].name, 'web')
})

withPython('a lock that nobody owns up to is told as unverified', async t => {
  const scene = new Scene(t)
  writeFileSync(scene.path('d.pid'), '1\n')
  await foreignLock(scene, { type: 'write', of: 'file', start: 1, length: 1 })
  const { daemons } = JSON.parse((await cli(scene, ['status', '--json', './d.pid'])).stdout)
  t.like(daemons[0], { state: 'running', verified: false })
})
