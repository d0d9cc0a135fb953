// Programs that never heard of daemons, started by launch(): all is set before they run, and the supervisor holds the rest.
import { readdirSync } from 'node:fs'
import test from 'ava'
import { type LaunchOptions, processInfo, stop } from 'daemonic'
import { callers, inScene, launchOnce, runDirectoryOfRoot, told } from './support/launching.js'
import { asRoot, NOBODY, withPython } from './support/locks.js'
import { finished, type RunOptions, Scene, script } from './support/scene.js'
import { linkOf, Supervisor, statusLine } from './support/supervised.js'

/** A shell script in the scene's directory; its name is d. */
function shell(scene: Scene, text: string): string {
  return scene.write('d.sh', `cd '${scene.directory}'\n${text}\n`)
}
const SH = { name: 'd', interpreter: '/bin/sh' } as const
const STAY = 'exec sleep 1000'

async function launched(
  scene: Scene,
  path: string,
  options: LaunchOptions = {},
  run: RunOptions = {},
): Promise<Supervisor> {
  const { error, pid = 0 } = await launchOnce(scene, [path], { ...SH, ...options }, run)
  if (error) throw new Error(JSON.stringify(error))
  return new Supervisor(scene, pid)
}

/** Calls launch() and goes on. */
function launching(scene: Scene, path: string, options: LaunchOptions) {
  const child = scene.spawnNode(callers('launches', path, { ...SH, ...options }), inScene(scene))
  return finished(child).then(told)
}

test('it has default signals, no open files but its own, and a marker in nobody’s environment', async t => {
  const scene = new Scene(t)
  const supervisor = await launched(scene, shell(scene, `env > environment\n${STAY}`))
  const worker = await supervisor.worker()
  await scene.until('it is sleep(1)', () => statusLine(worker, 'Name') === 'sleep')
  for (const set of ['SigBlk', 'SigIgn', 'SigCgt']) t.is(statusLine(worker, set), '0'.repeat(16), set)
  t.deepEqual(readdirSync(`/proc/${worker}/fd`), ['0', '1', '2'])
  t.notRegex(scene.read('environment'), /^(DAEMONIC_START|LISTEN_)/m)
  t.is(processInfo(worker).sid, processInfo(supervisor.pid).sid)
  t.deepEqual(supervisor.children(), [worker])
})

test('a limit of file size does not end it for what it writes to an ignored stderr', async t => {
  const scene = new Scene(t)
  const text = `i=0; while [ $i -lt 200 ]; do echo "line $i of some length, so that they are many bytes" >&2; i=$((i+1)); done
echo x > lived\n${STAY}`
  const supervisor = await launched(scene, shell(scene, text), { stderr: 'ignore', limits: { fsize: 4096 } })
  await scene.until('it has written all', () => scene.exists('lived'))
  t.is(linkOf(await supervisor.worker(), 2), '/dev/null')
})

asRoot('user, umask and directory are taken before it runs', async t => {
  const scene = new Scene(t)
  scene.giveTo(NOBODY)
  const path = scene.write('d.sh', `(id -u; id -g; umask; pwd) > '${scene.path('facts')}'\n${STAY}\n`)
  const options = { user: NOBODY, group: NOBODY, umask: 0o027, chdir: '/usr' }
  const supervisor = await launched(scene, path, options, runDirectoryOfRoot(scene))
  t.is(scene.read('facts'), `${NOBODY}\n${NOBODY}\n0027\n/usr\n`)
  t.is(statusLine(supervisor.pid, 'Uid').split('\t')[0], '0', 'the supervisor stays who started it')
})

test('sockets are passed as systemd passes them', async t => {
  const scene = new Scene(t)
  const path = shell(scene, `echo "$LISTEN_FDS $LISTEN_FDNAMES $((LISTEN_PID - $$))" > facts; echo >&9\n${STAY}`)
  const listen = { web: '127.0.0.1:0', admin: './admin.sock' }
  const supervisor = await launched(scene, path, { listen, ready: 'fd=9' })
  t.is(scene.read('facts'), '2 web:admin 0\n')
  t.regex(linkOf(await supervisor.worker(), 4), /^socket:/)
})

test('it is asked to stop by SIGTERM; the pid file is the supervisor’s', async t => {
  const scene = new Scene(t)
  await launched(scene, shell(scene, `trap 'echo stopped > stopped; exit 0' TERM\nwhile :; do sleep 0.05; done`))
  const { forced } = await stop(scene.path('d.pid'))
  t.false(forced)
  t.is(scene.read('stopped'), 'stopped\n')
  t.deepEqual(scene.files(), ['d.sh', 'stopped'])
})

test('without `monitor` its end is the end; with it, it is started again', async t => {
  for (const monitor of [false, true]) {
    const scene = new Scene(t)
    const supervisor = await launched(scene, shell(scene, STAY), { monitor })
    const worker = await supervisor.worker()
    process.kill(worker, 'SIGKILL')
    if (monitor) t.not(await supervisor.worker([worker]), worker)
    else {
      await scene.empty()
      t.deepEqual(scene.files(), ['d.json', 'd.sh'], 'the record of the failure stays')
    }
  }
})

for (const log of ['ignore', './d.log']) {
  test(`one that ends at once is a failed start with its code and stderr (log: ${log})`, async t => {
    const scene = new Scene(t)
    const path = shell(scene, `echo 'no licence' >&2; exit 9`)
    const { error } = await launchOnce(scene, [path], { ...SH, log, listen: { it: './it.sock' } })
    t.like(error, { name: 'StartError', code: 'ERR_DAEMON_START', exitCode: 9 })
    t.regex(error?.stderr ?? '', /^no licence\n/)
    await scene.empty()
    t.deepEqual(
      scene.files().filter(file => file !== 'd.log'),
      ['d.sh'],
    )
  })
}

test('one whose interpreter is missing: 127', async t => {
  const scene = new Scene(t)
  await scene.run('sh', ['-c', `printf '#!/no/such/thing\\n' > d.sh && chmod +x d.sh`])
  const { error } = await launchOnce(scene, [scene.path('d.sh')], { name: 'd', interpreter: null })
  t.like(error, { name: 'SystemCallError', exitCode: 127 })
  await scene.empty()
})

// ── Readiness ────────────────────────────────────────────────────────────────────────────

const WAIT = 'while [ ! -e go ]; do sleep 0.02; done; : > ready'

test('ready: ’fd=N’: a newline on that descriptor', async t => {
  const scene = new Scene(t)
  const path = shell(scene, `${WAIT}; echo >&7; exec 7>&-\n${STAY}`)
  const result = launching(scene, path, { ready: 'fd=7' })
  await scene.until('it runs', () => scene.exists('d.json'))
  scene.write('go', '')
  const { error, wasReady, pid = 0 } = await result
  t.is(error, undefined)
  t.true(wasReady)
  t.is((await new Supervisor(scene, pid).workers()).length, 1)
})

test('one that closes the descriptor, and ends, without a newline has failed', async t => {
  const scene = new Scene(t)
  const { error } = await launchOnce(scene, [shell(scene, 'exec 7>&-; exit 0')], { ...SH, ready: 'fd=7' })
  t.like(error, { code: 'ERR_DAEMON_START', exitCode: 1 })
})

withPython('ready: ’port’: it answers at its address, which it binds itself', async t => {
  const scene = new Scene(t)
  const options = { name: 'd', interpreter: 'python3', ready: 'port', listen: { it: './own.sock' } } as LaunchOptions
  const result = launching(scene, script('listens-at-go.py'), options)
  await scene.until('it runs', () => scene.exists('d.json'))
  scene.write('go', '')
  const { error, wasReady } = await result
  t.is(error, undefined)
  t.true(wasReady)
})

const notifier = script('notify.py')

withPython('ready: ’manual’: READY=1 on NOTIFY_SOCKET, of it or a child of it, and of nobody else', async t => {
  const scene = new Scene(t)
  const path = shell(
    scene,
    `echo "$NOTIFY_SOCKET" > draft; mv draft address; ${WAIT}; python3 ${notifier} 'STATUS=at work
READY=1'\n${STAY}`,
  )
  const result = launching(scene, path, { ready: 'manual' })
  const supervisor = new Supervisor(scene, 0)
  await scene.until('it runs', () => scene.exists('address'))
  const stranger = await scene.run('python3', [notifier, 'READY=1'])
  t.is(stranger.code, 0, stranger.stderr)
  const { workers } = (await supervisor.ask({ do: 'status' })) as { workers: { ready: boolean }[] }
  t.deepEqual(
    workers.map(({ ready }) => ready),
    [false],
  )
  scene.write('go', '')
  const { error, wasReady } = await result
  t.is(error, undefined)
  t.true(wasReady)
  t.is((await supervisor.status()).statusText, 'at work')
})

withPython('it is still heard when the supervisor has executed itself anew', async t => {
  const scene = new Scene(t)
  const path = shell(scene, `${WAIT}; python3 ${notifier} 'STATUS=later'\n${STAY}`)
  const supervisor = await launched(scene, path, { log: './d.log' })
  supervisor.signal('SIGUSR2')
  await supervisor.logged(/info: executed anew\n/)
  scene.write('go', '')
  await scene.until('it has its status', async () => (await supervisor.status()).statusText === 'later')
  t.pass()
})
