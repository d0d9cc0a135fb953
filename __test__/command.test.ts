// command(): a program's own start, stop, restart, reload, status and run.
import test from 'ava'
import { PidLock } from 'daemonic'
import { isReadable } from './support/cli.js'
import { finished, fixture, type Result, type RunOptions, Scene } from './support/scene.js'

function app(scene: Scene, args: readonly string[], run: RunOptions = {}): Promise<Result> {
  return scene.node([fixture('scripts/app'), ...args], { ...run, env: environment(scene, run) })
}

const environment = (scene: Scene, run: RunOptions) => ({ DAEMONIC_RUNTIME_DIR: scene.path('run'), ...run.env })
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
  t.regex(status.stdout, new RegExp(`^app: running as pid ${pid}, since \\d{4}-.*Z\n$`))
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
  for (const args of [['help'], ['--help'], ['-h']]) {
    const { code, stdout } = await app(scene, args)
    t.is(code, 0)
    t.regex(stdout, /^Usage: app\.js start\|stop\|restart\|reload\|status\|run\|help /)
    t.true(stdout.includes(`default: ${scene.path('run/app.pid')}`))
  }
  t.true((await app(scene, ['explain'])).stdout.includes('--overwrite-pid-file'))
  const none = await app(scene, [])
  t.is(none.code, 2)
  t.is(none.stdout, '')
  t.regex(none.stderr, /^Usage: /)
})

test('a wrong word is 2, and the nearest is named', async t => {
  const scene = new Scene(t)
  const result = await app(scene, ['strat'])
  t.is(result.code, 2)
  t.regex(result.stderr, /^app: Unknown command 'strat'; did you mean `start`\?; there are start, stop/)
  isReadable(t, result)
  const empty = await app(scene, ['start', '--pid-file='])
  t.is(empty.code, 2)
  isReadable(t, empty)
})
