// A program that says nothing of itself is ready when it has lived for a while and serves what was bound for it.
import test from 'ava'
import { type LaunchOptions, stop } from 'daemonic'
import { cli, spawnCli } from './support/cli.js'
import { launchOnce } from './support/launching.js'
import { lowPort } from './support/listening.js'
import { withPython } from './support/locks.js'
import { finished, Scene, script } from './support/scene.js'
import { isAlive } from './support/supervised.js'

function launchShell(scene: Scene, text: string, options: LaunchOptions = {}) {
  const path = scene.write('d.sh', `cd '${scene.directory}'\n${text}\n`)
  return launchOnce(scene, [path], { name: 'd', interpreter: '/bin/sh', ...options })
}

for (const [what, text] of [
  ['that ends within the second', 'sleep 0.7; exit 3'],
  ['whose child ends within the second, and it after that', '(sleep 0.8); sleep 0.6; exit 3'],
] as const) {
  test(`a program ${what} was never ready`, async t => {
    const scene = new Scene(t)
    const { error } = await launchShell(scene, text)
    t.like(error, { code: 'ERR_DAEMON_START', exitCode: 3 })
    await scene.empty()
  })
}

withPython('one that accepts on the socket that was bound for it is ready', async t => {
  const scene = new Scene(t)
  const listen = { it: 0, other: './it.sock' }
  const { error } = await launchOnce(scene, [script('accepts.py')], { interpreter: null, listen: { it: 0 } })
  t.is(error, undefined)
  await stop(scene.path('d.pid'))
  const half = await launchOnce(scene, [script('accepts.py')], { interpreter: null, listen, startTimeout: 2_000 })
  t.regex(half.error?.message ?? '', /was not ready after/)
})

withPython('one that leaves a connection waiting is not, and the start says on which port it listens', async t => {
  const scene = new Scene(t)
  const port = await lowPort()
  const options = { interpreter: null, listen: { web: 0 }, monitor: { settle: 200 }, startTimeout: 4_000 }
  const { error } = await launchOnce(scene, [script('accepts.py'), `${port}`], options)
  t.is(error?.code, 'ERR_DAEMON_START_TIMEOUT')
  t.regex(error?.message ?? '', /nobody accepts connections on `web` \(.*\); the program listens on port \d+/)
  t.true(error?.message.includes(`port ${port}`), error?.message)
})

test('one that makes itself a daemon is ended, and told what to do', async t => {
  const scene = new Scene(t)
  const daemon = `setsid sh -c 'echo $$ > escaped; exec sleep 1000' &\nuntil [ -s escaped ]; do sleep 0.01; done; exit 0`
  const { error } = await launchShell(scene, daemon)
  const pid = Number(scene.read('escaped'))
  t.regex(
    error?.message ?? '',
    new RegExp(`it made itself a daemon \\(pid ${pid}, s(leep|h)\\), which was ended: it has to stay`),
  )
  t.false(isAlive(pid))
})

test('a socket without a name is tcp, not http, where no script says what it speaks', async t => {
  const scene = new Scene(t)
  scene.write('d.sh', 'echo "$LISTEN_FDNAMES" > names; echo >&9; sleep 1000')
  const given = ['start', '--ready', 'fd=9', '--listen', '127.0.0.1:0', '--', '/bin/sh', './d.sh']
  const { stdout, code, stderr } = await cli(scene, given)
  t.is(code, 0, stderr)
  t.regex(stdout, /listening on tcp:\/\/127\.0\.0\.1:\d+ /)
  t.is(scene.read('names'), 'tcp\n')
  t.is((await cli(scene, ['stop', 'sh'])).code, 0)
})

test('Ctrl-C ends a start that hangs in the foreground at once', async t => {
  const scene = new Scene(t)
  scene.write('d.sh', `trap '' TERM INT; echo > runs; while :; do sleep 0.1; done`)
  const child = spawnCli(scene, ['run', '--ready', 'manual', '--stop-timeout', '10m', '--', '/bin/sh', './d.sh'])
  const end = finished(child)
  await scene.until('it runs', () => scene.exists('runs'))
  child.kill('SIGINT')
  t.is((await end).code, 130)
  await scene.empty()
})
