// What users of OpenXPKI::Daemonize rely on, parameter by parameter: the rows of docs/coming-from.md.
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import test from 'ava'
import { processInfo } from 'daemonic'
import { become, inline, plain } from '../support/inline.js'
import { launchOnce } from '../support/launching.js'
import { probe } from '../support/probe.js'
import { startProgram } from '../support/program.js'
import { asRoot } from '../support/root.js'
import { finished, Scene } from '../support/scene.js'
import { isAlive } from '../support/supervised.js'

test('fork_child', async t => {
  const scene = new Scene(t)
  const { pid = 0, started } = await launchOnce(scene, plain(scene, ''))
  t.true(started, 'the parent has gone on, and told')
  const { sid, pgid, ppid } = processInfo(pid)
  t.true(isAlive(pid))
  t.is(pgid, pid)
  t.not(ppid, process.pid)
  t.not(sid, processInfo().sid, 'a session of its own')
})

test('sighup_handler and sigterm_handler, by hooks', async t => {
  const scene = new Scene(t)
  const hooks = `daemon.onReload(() => tell('told', 'hup')); daemon.onStop(() => tell('told', 'term'))`
  const pid = await startProgram(scene, become(scene, {}, hooks))
  process.kill(pid, 'SIGHUP')
  await scene.until('it has reloaded', () => scene.exists('told') && scene.read('told') === 'hup\n')
  process.kill(pid)
  await scene.empty()
  t.is(scene.read('told'), 'hup\nterm\n')
})

for (const monitor of [false, true]) {
  test(`sighup_handler and sigterm_handler, by functions${monitor ? ', under a supervisor' : ''}`, async t => {
    const scene = new Scene(t)
    const text = `become({ monitor: ${monitor}, signals: {
  SIGHUP: () => tell('told', 'hup'), SIGTERM: () => { tell('told', 'term'); process.exit() } } })
setInterval(() => {}, 1e6)`
    const pid = await startProgram(scene, inline(scene, text))
    process.kill(pid, 'SIGHUP')
    await scene.until('the function has run', () => scene.exists('told') && scene.read('told') === 'hup\n')
    process.kill(pid)
    await scene.empty()
    t.is(scene.read('told'), 'hup\nterm\n')
    t.false(scene.exists('d.pid'))
  })
}

asRoot('uid and gid, USER and HOME', async t => {
  const scene = new Scene(t)
  const text = `become({ user: 'nobody', log: 'ignore', pidFile: false, listen: {} })
const { USER, LOGNAME, HOME, SHELL } = process.env
tell('told', JSON.stringify([process.getuid(), process.getgid(), USER, LOGNAME, HOME, SHELL]))
setInterval(() => {}, 1e6)`
  scene.giveTo(65_534)
  const { code, stderr } = await scene.node(inline(scene, text))
  t.is(code, 0, stderr)
  await scene.until('it has told', () => scene.exists('told') && scene.read('told').endsWith('\n'))
  const [, , uid, gid, , home, shell] = execFileSync('getent', ['passwd', 'nobody'], { encoding: 'utf8' })
    .trim()
    .split(':')
  t.deepEqual(JSON.parse(scene.read('told')), [Number(uid), Number(gid), 'nobody', 'nobody', home, shell])
})

test('umask, directory and streams', async t => {
  const { umask, cwd, descriptors } = await probe(new Scene(t))
  t.is(umask, 0o022)
  t.is(cwd, '/')
  t.deepEqual(
    [0, 1, 2].map(fd => descriptors[fd]),
    ['/dev/null', '/dev/null', '/dev/null'],
  )
})

test('STDERR that is not a terminal', async t => {
  const scene = new Scene(t)
  const errors = scene.write('errors', '')
  const program = become(scene, { log: 'ignore', stderr: 'inherit-unless-tty' }, `console.error('said later')`)
  const { code } = await scene.by('sh', `"$@" 2>>${errors}`, program)
  t.is(code, 0)
  await scene.until('it has said it', () => scene.read('errors') === 'said later\n')
})

test('SIGCHLD in the child', async t => {
  const scene = new Scene(t)
  const text = `import { spawnSync } from 'node:child_process'
become({ log: 'ignore' })
tell('told', String(spawnSync('sh', ['-c', 'exit 3']).status))
setInterval(() => {}, 1e6)`
  // As a parent that ignores CHLD, and so would every process that it executes.
  const { code } = await scene.run('env', ['--ignore-signal=CHLD', process.execPath, ...inline(scene, text)])
  t.is(code, 0)
  await scene.until('it has told', () => scene.exists('told') && scene.read('told') === '3\n')
})

test('SIGCHLD in the parent', async t => {
  const scene = new Scene(t)
  const text = `import { launch } from '${new URL('../../index.js', import.meta.url)}'
for (let each = 0; each < 3; each++) await launch('./stays.mjs', { name: 'd' + each, pidFile: false, log: 'ignore' })
console.log(fs.readFileSync('/proc/self/task/' + process.pid + '/children', 'utf8').trim())`
  scene.write('stays.mjs', 'setInterval(() => {}, 1e6)')
  const { code, stdout } = await finished(scene.spawnNode(inline(scene, text)))
  t.deepEqual([code, stdout], [0, '\n'], 'no child is left, and no zombie')
})

test('srand', async t => {
  const scene = new Scene(t)
  const program = become(scene, { workers: 2, log: 'ignore' }, `tell('told', String(Math.random()))`)
  await startProgram(scene, program)
  await scene.until('both have told', () => scene.exists('told') && scene.read('told').trim().split('\n').length === 2)
  const [one, other] = scene.read('told').trim().split('\n')
  t.not(one, other)
})

test('log lines with a priority', async t => {
  const scene = new Scene(t)
  process.kill(await startProgram(scene, become(scene, {})))
  await scene.empty()
  t.regex(readFileSync(scene.path('d.log'), 'utf8'), /^\d{4}-\d\d-\d\dT[\d:.]+Z d\[\d+\] info: stopping on SIGTERM\n$/)
})
