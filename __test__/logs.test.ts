// Logs under a running daemon: moved away, removed, opened again.
import { mkdirSync, renameSync, statSync } from 'node:fs'
import test from 'ava'
import type { Programs } from './fixtures/logs.js'
import { startProgram } from './support/program.js'
import { programs, Scene } from './support/scene.js'

const program = programs<Programs>('logs')

const move = (scene: Scene, name: string) => renameSync(scene.path(name), scene.path(`${name}.1`))
const size = (scene: Scene, name: string) => statSync(scene.path(name), { throwIfNoEntry: false })?.size ?? 0
const grown = (scene: Scene, name: string, from = 0) =>
  scene.until(`${name} grows`, () => size(scene, name) > from + 40)

test('HUP makes a daemon write to a new log where the old one was moved away, and loses no line', async t => {
  const scene = new Scene(t)
  const pid = await startProgram(scene, program('counts'))
  for (const round of [1, 2, 3]) {
    await grown(scene, 'd.log')
    renameSync(scene.path('d.log'), scene.path(`d.log.${round}`))
    process.kill(pid, 'SIGHUP')
    await grown(scene, 'd.log')
  }
  process.kill(pid, 'SIGKILL')
  await scene.empty()
  const numbers = ['d.log.1', 'd.log.2', 'd.log.3', 'd.log'].flatMap(file => scene.read(file).trimEnd().split('\n'))
  t.deepEqual(
    numbers,
    numbers.map((_, index) => String(index + 1)),
  )
  t.is(statSync(scene.path('d.log')).mode & 0o777, 0o640)
})

test('HUP runs the reload hooks after that, the first added first, and one that fails is logged', async t => {
  const scene = new Scene(t)
  const pid = await startProgram(scene, program('hasReloadHooks'))
  move(scene, 'd.log')
  process.kill(pid, 'SIGHUP')
  await scene.until('all hooks have run', () => scene.exists('d.log') && /^last$/m.test(scene.read('d.log')))
  t.regex(scene.read('d.log'), /^first\n.* d\[\d+\] error: a reload hook failed: Error: broken\n.*\nlast\n$/s)
  t.is(scene.read('d.log.1'), '')
  t.deepEqual(scene.processes(), [pid])
})

test('reopenLogs() tells how many were moved or removed', async t => {
  const scene = new Scene(t)
  const pid = await startProgram(scene, program('talks', { stdout: './out.log', stderr: './err.log' }))
  const reopened = async (times: number) => {
    process.kill(pid, 'SIGUSR2')
    const answers = () => (scene.exists('reopened') ? scene.read('reopened').trimEnd().split('\n') : [])
    await scene.until('it has tried', () => answers().length === times)
    return Number(answers().at(-1))
  }
  t.is(await reopened(1), 0)
  move(scene, 'out.log')
  t.is(await reopened(2), 1)
  move(scene, 'out.log')
  scene.remove('err.log')
  t.is(await reopened(3), 2)
  await grown(scene, 'out.log')
  await grown(scene, 'err.log')
  t.regex(scene.read('out.log'), /^(out\n)+$/)
  t.regex(scene.read('err.log'), /^(err\n)+$/)
})

for (const [what, away] of [
  ['moved', move],
  ['removed', (scene: Scene, name: string) => scene.remove(name)],
] as const) {
  test(`with \`all\`, other files that it appends to are reopened where they were ${what}`, async t => {
    const scene = new Scene(t)
    const pid = await startProgram(scene, program('talksToAnotherFileToo', { all: true }))
    await grown(scene, 'extra.log')
    away(scene, 'extra.log')
    process.kill(pid, 'SIGUSR2')
    await scene.until('it has tried', () => scene.exists('reopened'))
    t.is(scene.read('reopened'), '1\n')
    await grown(scene, 'extra.log')
  })
}

test('without `all` they are left alone', async t => {
  const scene = new Scene(t)
  const pid = await startProgram(scene, program('talksToAnotherFileToo'))
  await grown(scene, 'extra.log')
  move(scene, 'extra.log')
  process.kill(pid, 'SIGUSR2')
  await scene.until('it has tried', () => scene.exists('reopened'))
  t.is(scene.read('reopened'), '0\n')
  await grown(scene, 'extra.log.1', size(scene, 'extra.log.1'))
  t.false(scene.exists('extra.log'))
})

test('where a log can’t be opened again, the old one goes on being used and says why', async t => {
  const scene = new Scene(t)
  mkdirSync(scene.path('logs'))
  const pid = await startProgram(scene, program('talks', { log: './logs/d.log' }))
  move(scene, 'logs')
  process.kill(pid, 'SIGHUP')
  const old = () => scene.read('logs.1/d.log')
  await scene.until('the failure is logged', () => old().includes('warning'))
  t.regex(old(), /warning: cannot open the log .*\/logs\/d\.log: ENOENT.*; the old file goes on being used$/m)
  await grown(scene, 'logs.1/d.log', size(scene, 'logs.1/d.log'))
  // As a call it throws; and a later one succeeds.
  process.kill(pid, 'SIGUSR2')
  await scene.until('it has tried', () => scene.exists('reopened'))
  t.is(scene.read('reopened'), `SystemCallError,ENOENT,log,${scene.path('logs/d.log')}\n`)
  mkdirSync(scene.path('logs'))
  process.kill(pid, 'SIGHUP')
  await grown(scene, 'logs/d.log')
})

test('a log is appended to, and truncated only where that is asked for', async t => {
  const scene = new Scene(t)
  for (const name of ['out.log', 'err.log']) scene.write(name, 'old\n')
  t.is((await scene.node(program('saysNewToBoth'))).code, 0)
  await scene.empty()
  t.is(scene.read('out.log'), 'old\nnew\n')
  t.is(scene.read('err.log'), 'new\n')
})
