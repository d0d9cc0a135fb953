// Starts under the supervisor: ready when every worker is, or failed and as if it had never been.
import { readdirSync } from 'node:fs'
import test, { type ExecutionContext } from 'ava'
import type { Programs as Launchers } from './fixtures/launchers.js'
import type { End } from './fixtures/programs.js'
import { asRoot } from './support/root.js'
import { finished, programs, Scene, script } from './support/scene.js'
import { foregroundSupervised, linkOf, Supervisor, startSupervised, supervised } from './support/supervised.js'

const LISTENING = { workers: 3, listen: { it: './it.sock' } } as const

/** A log is kept, whatever becomes of the start. */
async function leavesNothing(t: ExecutionContext, scene: Scene): Promise<void> {
  await scene.empty()
  t.deepEqual(
    scene.files().filter(file => file !== 'd.log'),
    [],
  )
}

test('the launcher ends when the last of them is ready', async t => {
  const scene = new Scene(t)
  const inTurn = supervised('isReadyInTurn', { workers: 3, ready: 'manual' })
  const supervisor = await startSupervised(scene, inTurn)
  t.is(scene.read('ready'), '0\n1\n2\n')
  t.true((await supervisor.status()).workers.every(({ ready }) => ready))
})

const FAILURES: Record<string, { how: End; code: number; says: RegExp }> = {
  'throws an error': { how: { throws: 'no database' }, code: 1, says: /Error: no database/ },
  'exits with 7': { how: { says: 'no licence', exits: 7 }, code: 7, says: /no licence/ },
  'exits with 0': { how: { exits: 0 }, code: 1, says: /exited with 0 before it was ready/ },
  'is killed by a signal': { how: { says: 'dying', kills: 'SIGTERM' }, code: 143, says: /dying/ },
}

for (const log of ['./d.log', 'ignore']) {
  for (const [what, { how, code, says }] of Object.entries(FAILURES)) {
    test(`one of several that ${what} (log: ${log}) is a failed start that leaves nothing`, async t => {
      const scene = new Scene(t)
      const result = await scene.node(supervised('endsAsOneOfSeveral', how, { ...LISTENING, log }))
      await leavesNothing(t, scene)
      t.is(result.code, code, result.stderr)
      t.regex(result.stderr, says)
    })
  }
}

test('one that is not ready in time: 124, and what it wrote', async t => {
  const scene = new Scene(t)
  const options = { ...LISTENING, log: 'ignore', ready: 'manual', startTimeout: 5_000 } as const
  const { code, stderr } = await scene.node(supervised('isNotReadyAsOneOfSeveral', options))
  t.is(code, 124, stderr)
  t.regex(stderr, /waiting for the database/)
  await scene.empty()
  t.deepEqual(scene.files(), [])
})

test('the directory that isn’t there is named', async t => {
  const scene = new Scene(t)
  const { code, stderr } = await scene.node(supervised('stays', { ...LISTENING, chdir: '/nowhere/at/all' }))
  t.is(code, 1, stderr)
  t.regex(stderr, /\/nowhere\/at\/all: ENOENT/)
  await leavesNothing(t, scene)
})

asRoot('a group that can’t be taken is told as the step that failed', async t => {
  const scene = new Scene(t)
  const options = { name: 'd', pidFile: './d.pid', workers: 2, user: 65534, group: 65534 }
  const becoming = programs<Launchers>('launchers')('catches', options, {}, ['name', 'step', 'code'])
  // Without the capability root can't become anybody.
  const drop = ['--bounding-set', '-setgid,-setuid', '--inh-caps', '-setgid,-setuid']
  const { stdout, stderr } = await scene.run('setpriv', [...drop, process.execPath, ...becoming])
  const { name, step, code } = JSON.parse(stdout)
  t.regex(`${name} ${step} ${code}`, /^SystemCallError setg\w+ EPERM$/, stderr)
  await scene.empty()
})

// ── In the foreground ────────────────────────────────────────────────────────────────────

test('in the foreground this very process becomes the supervisor; its standard streams are as they were', async t => {
  const scene = new Scene(t)
  const { supervisor, child, end } = await foregroundSupervised(scene, supervised('printsToBoth', { workers: 2 }))
  t.is<number | undefined, number | undefined>(supervisor.pid, child.pid)
  t.regex(supervisor.title, /^d: monitoring 2 workers/)
  const [worker = 0] = await supervisor.pids(2)
  for (const fd of [0, 1, 2]) t.is(linkOf(worker, fd), linkOf(supervisor.pid, fd))
  t.regex(linkOf(supervisor.pid, 1), /^(pipe|socket):/)
  supervisor.signal('SIGINT')
  const { code, stdout, stderr } = await end
  t.is(code, 0)
  t.is(stdout, 'out\nout\n')
  t.is(stderr.match(/^err$/gm)?.length, 2)
})

test('a start that fails there has the worker’s exit code, or dies of its signal', async t => {
  for (const [how, expected] of [
    [{ exits: 7 }, { code: 7, signal: null }],
    [{ kills: 'SIGKILL' }, { code: null, signal: 'SIGKILL' }],
  ] as const) {
    const scene = new Scene(t)
    const result = await scene.node(supervised('endsAsOneOfSeveral', how, LISTENING), { detach: 'false' })
    t.like(result, expected, result.stderr)
    t.regex(result.stderr, /error: the start failed: pid \d+ /)
    await leavesNothing(t, scene)
  }
})

test('on a terminal, Ctrl-C ends all of it once', async t => {
  const scene = new Scene(t)
  if ((await scene.run('sh', ['-c', 'command -v script'])).code !== 0) {
    t.pass('skipped: there is no script(1) to make a terminal with')
    return
  }
  const command = `exec '${process.execPath}' ${supervised('tellsWhatStopsIt', { workers: 2 }).join(' ')}`
  const script = scene.spawn('script', ['-qec', command, '/dev/null'], {
    detach: 'false',
    env: { SHELL: '/bin/sh' },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  const end = finished(script)
  const supervisor = await scene.until('it runs', () => scene.exists('d.pid') && Number(scene.read('d.pid')))
  const [worker = 0] = await new Supervisor(scene, supervisor).pids(2)
  t.regex(linkOf(worker, 1), /^\/dev\/pts\//)
  script.stdin?.write('\u0003')
  t.is((await end).code, 0)
  t.is(scene.read('stopped'), 'SIGINT\nSIGINT\n')
})

test('it tells a service manager READY=1 when every worker is ready, and STOPPING=1', async t => {
  const scene = new Scene(t)
  const python = scene.spawn('python3', [script('notify-log.py'), scene.path('notify'), scene.path('told')])
  python.stdout?.resume()
  await scene.until('the manager listens', () => readdirSync(scene.directory).includes('notify'))
  const env = { NOTIFY_SOCKET: scene.path('notify'), SYSTEMD_EXEC_PID: undefined }
  const telling = supervised('tellsThatItIsReady', { workers: 2, ready: 'manual' })
  const { supervisor, end } = await foregroundSupervised(scene, telling, { env })
  await supervisor.workers(2)
  // The pid, status texts and times come between them.
  const counts = (line: string) => line === '' || /^(ready \d|(READY|RELOADING|STOPPING)=1)$/.test(line)
  const told = () => (scene.exists('told') ? scene.read('told').split('\n').filter(counts).join('\n') : '')
  await scene.until('it is told of', () => told().includes('READY=1'))
  t.regex(told(), /^ready \d\nready \d\nREADY=1\n$/)
  await supervisor.ask({ do: 'reload' })
  await scene.until('so is the reload', () => told().split('READY=1\n').length === 3)
  t.regex(told(), /RELOADING=1\n(ready \d\n)+READY=1\n$/)
  supervisor.signal('SIGTERM')
  t.is((await end).code, 0)
  await scene.until('so is the end', () => told().endsWith('STOPPING=1\n'))
})
