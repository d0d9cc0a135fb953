// The native supervisor's `monitor`: who is started again, when, and what is told of it.
import { readFileSync } from 'node:fs'
import test from 'ava'
import type { MonitorOptions } from 'daemonic'
import { Scene } from './support/scene.js'
import { foregroundSupervised, startSupervised, supervised } from './support/supervised.js'

interface End {
  signal: NodeJS.Signals
  /** The supervisor's own, if there is no restart. */
  code: number
  restarts: readonly MonitorOptions['restart'][]
}

const ENDS: Record<string, End> = {
  'exits with 0': { signal: 'SIGUSR2', code: 0, restarts: ['always'] },
  'exits with 3': { signal: 'SIGALRM', code: 3, restarts: ['always', 'on-failure'] },
  'is told to end by somebody else': { signal: 'SIGTERM', code: 0, restarts: ['always'] },
  'is killed by SIGSEGV': { signal: 'SIGSEGV', code: 139, restarts: ['always', 'on-failure', 'on-abnormal'] },
  'is killed by somebody’s SIGKILL': {
    signal: 'SIGKILL',
    code: 137,
    restarts: ['always', 'on-failure', 'on-abnormal'],
  },
}

for (const [what, { signal, code, restarts }] of Object.entries(ENDS)) {
  test(`one that ${what} is started again if \`restart\` is one of ${restarts.join(', ')}, else ends its supervisor`, async t => {
    const tried = (['always', 'on-failure', 'on-abnormal', 'no'] as const).map(async restart => {
      const scene = new Scene(t)
      const { supervisor, end } = await foregroundSupervised(scene, supervised('obeys', { monitor: { restart } }))
      const worker = await supervisor.worker()
      process.kill(worker, signal)
      if (restarts.includes(restart)) {
        const successor = await supervisor.worker([worker])
        t.deepEqual(supervisor.children(), [successor], restart)
        return
      }
      const result = await end
      t.is(result.code, code, restart)
      t.regex(result.stderr, new RegExp(`info: pid ${worker} (ended with|killed by) .*, exiting\n$`), restart)
      // The record of a failure stays.
      t.deepEqual(scene.files(), restarts.includes('on-failure') ? ['d.json'] : [], restart)
    })
    await Promise.all(tried)
  })
}

test('monitor: true means on-failure', async t => {
  const scene = new Scene(t)
  const { supervisor, end } = await foregroundSupervised(scene, supervised('obeys', { monitor: true }))
  const worker = await supervisor.worker()
  process.kill(worker, 'SIGALRM')
  process.kill(await supervisor.worker([worker]), 'SIGUSR2')
  t.is((await end).code, 0)
})

test('the first restart is at once; then it waits twice as long each time, up to maxDelay, and says so', async t => {
  const scene = new Scene(t)
  const failing = supervised('endsWhere', 'broken', { exits: 3 }, { monitor: { maxDelay: 150 } })
  const supervisor = await startSupervised(scene, failing)
  const worker = await supervisor.worker()
  scene.write('broken', '')
  process.kill(worker, 'SIGKILL')
  await supervisor.logged(/\b4 failures: /)
  scene.remove('broken')
  await supervisor.worker([worker])
  const own = supervisor.log.split('\n').filter(line => line.includes(` d[${supervisor.pid}] `))
  const texts = own.map(line => line.replace(/^\S+Z d\[\d+\] supervisor: /, '').replace(/pid \d+/, 'pid N'))
  t.deepEqual(texts.slice(0, 7), [
    'warning: 1 failure: pid N killed by SIGKILL',
    'info: restarting',
    'warning: 2 failures: pid N ended with 3, waiting 100 ms',
    'info: restarting',
    'warning: 3 failures: pid N ended with 3, waiting 150 ms',
    'info: restarting',
    'warning: 4 failures: pid N ended with 3, waiting 150 ms',
  ])
  t.true(own.every(line => /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z /.test(line)))
})

test('a worker that has run for steadyAfter resets the count, and the title', async t => {
  const scene = new Scene(t)
  const supervisor = await startSupervised(scene, { monitor: { steadyAfter: 2_000 } })
  const [first] = supervisor.children()
  t.is(supervisor.title, `d: monitoring pid ${first} (healthy)`)
  for (const _ of [1, 2]) {
    const worker = await supervisor.worker()
    process.kill(worker, 'SIGSEGV')
    const successor = await supervisor.worker([worker])
    await supervisor.titled(
      new RegExp(`^d: monitoring pid ${successor} \\(1 failure: pid ${worker} killed by SIGSEGV\\)$`),
    )
    await supervisor.titled(new RegExp(`^d: monitoring pid ${successor} \\(healthy\\)$`))
  }
  t.notRegex(supervisor.log, /2 failures/)
})

test('after maxFailures in a row it gives up, with the worker’s code', async t => {
  const scene = new Scene(t)
  const { supervisor, end } = await foregroundSupervised(scene, supervised('obeys', { monitor: { maxFailures: 3 } }))
  for (let worker = 0, life = 0; life < 3; life += 1) {
    worker = await supervisor.worker([worker])
    process.kill(worker, 'SIGALRM')
  }
  const { code, stderr } = await end
  t.is(code, 3)
  t.regex(stderr, /error: 3 failures: pid \d+ ended with 3, giving up\n$/)
  t.deepEqual(scene.files(), ['d.json'])
})

test('the last line of its stderr, and why it ended, are in the status of the next', async t => {
  const scene = new Scene(t)
  const supervisor = await startSupervised(scene, supervised('saysItsStatus', { monitor: true }))
  const worker = await supervisor.worker()
  const [before] = await supervisor.workers()
  t.like(before, { restarts: 0, lastExit: null })
  process.kill(worker, 'SIGUSR2')
  const [after] = await supervisor.workers(1, [worker])
  t.like(after, { restarts: 1, lastExit: 'ended with 4: out of disk' })
})

test('what a restarted worker writes to stderr while it starts is in the log', async t => {
  const scene = new Scene(t)
  const supervisor = await startSupervised(scene, supervised('printsWhileItStarts', { monitor: true }))
  const worker = await supervisor.worker()
  process.kill(worker, 'SIGKILL')
  const successor = await supervisor.worker([worker])
  t.regex(supervisor.log, new RegExp(`^starting ${successor}$`, 'm'))
})

test('one that is not ready in time is killed and started again', async t => {
  const scene = new Scene(t)
  const options = { ready: 'manual', startTimeout: 5_000, monitor: true } as const
  const supervisor = await startSupervised(scene, supervised('hangsOnceWhere', 'slow', options))
  const worker = await supervisor.worker()
  scene.write('slow', '')
  process.kill(worker, 'SIGKILL')
  const [, late = ''] = await supervisor.logged(/error: pid (\d+) was not ready after 5000 ms: killing it\n/)
  t.not(await supervisor.worker([worker, Number(late)]), 0)
})

// ── Hung, and grown ──────────────────────────────────────────────────────────────────────

test('watchdog: one whose event loop is blocked is ended by ABRT, and replaced', async t => {
  const scene = new Scene(t)
  const supervisor = await startSupervised(scene, supervised('blocksOnUsr2', { monitor: { watchdog: 3_000 } }))
  const worker = await supervisor.worker()
  process.kill(worker, 'SIGUSR2')
  const [after] = await supervisor.workers(1, [worker])
  t.is(after?.lastExit, 'killed by SIGABRT')
  t.regex(supervisor.log, new RegExp(`error: pid ${worker} has not turned its event loop for 3000 ms\n`))
})

test('watchdog: one that was stopped is ended by KILL, and replaced', async t => {
  const scene = new Scene(t)
  const supervisor = await startSupervised(scene, { monitor: { watchdog: 3_000 } })
  const worker = await supervisor.worker()
  process.kill(worker, 'SIGSTOP')
  const [after] = await supervisor.workers(1, [worker])
  t.is(after?.lastExit, 'killed by SIGKILL')
  t.regex(supervisor.log, new RegExp(`error: pid ${worker} has not ended: killing it\n`))
})

test('watchdog: a supervisor that was stopped and continued finds its workers healthy', async t => {
  const scene = new Scene(t)
  const supervisor = await startSupervised(scene, { monitor: { watchdog: 3_000 } })
  const worker = await supervisor.worker()
  supervisor.signal('SIGSTOP')
  const until = performance.now() + 4_500
  await scene.until('its workers are overdue', () => performance.now() > until)
  supervisor.signal('SIGCONT')
  const since = (await supervisor.workers())[0]?.uptime ?? 0
  const uptime = async () => (await supervisor.workers())[0]?.uptime ?? 0
  await scene.until('the watchdog has looked again', async () => (await uptime()) > since + 4_500)
  t.is(await supervisor.worker(), worker, supervisor.log)
})

test('maxMemory: one that has grown beyond it is asked to end, and replaced', async t => {
  const scene = new Scene(t)
  const growing = supervised('growsOnUsr2', { monitor: { maxMemory: 180_000_000 } })
  const supervisor = await startSupervised(scene, growing)
  const worker = await supervisor.worker()
  process.kill(worker, 'SIGUSR2')
  const [after] = await supervisor.workers(1, [worker])
  t.is(after?.lastExit?.replace(/:.*/, ''), 'ended with 0')
  t.regex(supervisor.log, new RegExp(`warning: pid ${worker} has \\d+M resident, 172M are allowed\n`))
})

// ── Core dumps ───────────────────────────────────────────────────────────────────────────

/** Where the next one goes by core(5): into the process's directory. */
const dumpsHere = () => !/[/|]/.test(readFileSync('/proc/sys/kernel/core_pattern', 'utf8'))

test('after a core dump there are no more', async t => {
  const scene = new Scene(t)
  if (!dumpsHere()) {
    t.pass('skipped: core_pattern leads elsewhere')
    return
  }
  const options = { monitor: true, chdir: scene.directory, limits: { core: 'unlimited' } } as const
  const supervisor = await startSupervised(scene, options)
  const worker = await supervisor.worker()
  const limit = (pid: number) => /^Max core file size\s+(\S+)/m.exec(readFileSync(`/proc/${pid}/limits`, 'utf8'))?.[1]
  t.is(limit(worker), 'unlimited')
  process.kill(worker, 'SIGSEGV')
  const successor = await supervisor.worker([worker])
  t.is(limit(successor), '0')
  t.regex(supervisor.title, /^d: monitoring pid \d+ \(1 failure: pid \d+ killed by SIGSEGV, core dumped\)$/)
  t.regex(supervisor.log, /info: no more core dumps: there is one\n/)
  process.kill(successor, 'SIGSEGV')
  await supervisor.logged(/2 failures: pid \d+ killed by SIGSEGV, waiting 100 ms\n/)
})
