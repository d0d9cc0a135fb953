// What a daemon and its supervisor tell a real systemd, and what that makes of it.
import { copyFileSync } from 'node:fs'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { CLI } from './support/cli.js'
import { inline } from './support/inline.js'
import { commandLine, withSystemd } from './support/systemd.js'

/** What `daemonic run` with these words is as ExecStart=. */
function running(...words: string[]): string {
  return commandLine([CLI, 'run', ...words])
}

// ── A program that nothing supervises ────────────────────────────────────────────────────

withSystemd(
  'a service has started when it is ready, is the program itself, and shows its status',
  async (t, systemd, scene) => {
    const program = inline(
      scene,
      `const daemon = daemonize({ name: 'web', ready: 'manual' })
    daemon.setStatus('warming up')
    while (!fs.existsSync(here + '/go')) await sleep(10)
    daemon.ready('serving 3 rooms')
    setInterval(() => {}, 1_000_000)`,
    )
    await systemd.service('web', program)
    await systemd.systemctl('start', '--no-block', 'web')
    await systemd.shows('web', 'StatusText', 'warming up')
    t.is(await systemd.property('web', 'ActiveState'), 'activating')
    scene.write('go', '')
    await systemd.shows('web', 'ActiveState', 'active')
    t.is(await systemd.property('web', 'StatusText'), 'serving 3 rooms')
    await systemd.systemctl('stop', 'web')
    t.is(await systemd.property('web', 'Result'), 'success')
  },
)

withSystemd('Type=exec: the program does not detach', async (t, systemd, scene) => {
  await systemd.service(
    'web',
    inline(
      scene,
      `fs.writeFileSync(here + '/told', String(daemonize({ name: 'web' }).detached))
    setInterval(() => {}, 1_000_000)`,
    ),
    { Type: 'exec' },
  )
  await systemd.systemctl('start', 'web')
  t.is(await scene.until('it has told', () => scene.exists('told') && scene.read('told')), 'false')
  t.is(await systemd.property('web', 'ActiveState'), 'active')
})

withSystemd('Type=forking: the pid file names the daemon before the launcher exits', async (t, systemd, scene) => {
  const program = inline(
    scene,
    `daemonize({ name: 'web', detach: true, pidFile: here + '/web.pid' })
    setInterval(() => {}, 1_000_000)`,
  )
  await systemd.service('web', program, { Type: 'forking', PIDFile: scene.path('web.pid') })
  await systemd.systemctl('start', 'web')
  t.is(await systemd.property('web', 'ActiveState'), 'active')
  const inside = await systemd.run('cat', scene.path('web.pid'))
  t.is(inside.stdout.trim(), await systemd.property('web', 'MainPID'))
  await systemd.systemctl('stop', 'web')
  t.is(await systemd.property('web', 'Result'), 'success')
  t.false(scene.exists('web.pid'))
})

withSystemd(
  'the watchdog hears from the event loop, and kills a service whose loop hangs',
  async (t, systemd, scene) => {
    const program = inline(
      scene,
      `daemonize({ name: 'web' })
    setInterval(() => { if (fs.existsSync(here + '/hang')) while (true) {} }, 10)`,
    )
    await systemd.service('web', program, { WatchdogSec: 1 })
    await systemd.systemctl('start', 'web')
    const heard = async () => Number(await systemd.property('web', 'WatchdogTimestampMonotonic'))
    const first = await heard()
    await scene.until('it has beaten for three times its limit', async () => (await heard()) > first + 3_000_000)
    t.is(await systemd.property('web', 'ActiveState'), 'active')
    scene.write('hang', '')
    await systemd.shows('web', 'Result', 'watchdog')
  },
)

withSystemd('a reload shows as one, and runs the hooks', async (t, systemd, scene) => {
  const program = inline(
    scene,
    `const daemon = daemonize({ name: 'web' })
    daemon.onReload(async () => { while (!fs.existsSync(here + '/go')) await sleep(10) })
    setInterval(() => {}, 1_000_000)`,
  )
  await systemd.service('web', program, { ExecReload: '/bin/kill -HUP $MAINPID' })
  await systemd.systemctl('start', 'web')
  await systemd.systemctl('reload', '--no-block', 'web')
  await systemd.shows('web', 'SubState', 'reload')
  scene.write('go', '')
  await systemd.shows('web', 'SubState', 'running')
  t.is(await systemd.property('web', 'NRestarts'), '0')
})

withSystemd('a stop may take its stopTimeout, whatever TimeoutStopSec= says', async (t, systemd, scene) => {
  const program = inline(
    scene,
    `daemonize({ name: 'web', stopTimeout: 30_000 }).onStop(async () => { await sleep(2_500); fs.writeFileSync(here + '/saved', '') })
    setInterval(() => {}, 1_000_000)`,
  )
  await systemd.service('web', program, { TimeoutStopSec: 1 })
  await systemd.systemctl('start', 'web')
  await systemd.systemctl('stop', 'web')
  t.is(await systemd.property('web', 'Result'), 'success')
  t.true(scene.exists('saved'))
})

withSystemd('a start that fails at a system call leaves its errno and its text', async (t, systemd, scene) => {
  const program = inline(scene, `daemonize({ name: 'web', listen: { web: '192.0.2.1:1' } })`)
  await systemd.service('web', program)
  await t.throwsAsync(systemd.systemctl('start', 'web'))
  t.is(await systemd.property('web', 'StatusErrno'), '99') // EADDRNOTAVAIL
  t.regex(await systemd.property('web', 'StatusText'), /192\.0\.2\.1:1/)
})

withSystemd(
  'restart and start leave a unit to systemd, and stop says that it may start it again',
  async (t, systemd, scene) => {
    const program = inline(
      scene,
      `daemonize({ name: 'web', pidFile: here + '/web.pid' })
    setInterval(() => {}, 1_000_000)`,
    )
    await systemd.service('web', program)
    await systemd.systemctl('start', 'web')
    const daemonic = (...words: string[]) => systemd.run(process.execPath, CLI, ...words)
    const target = scene.path('web.pid')
    const pid = await systemd.property('web', 'MainPID')
    const restart = await daemonic('restart', target)
    t.is(restart.code, 0, restart.stderr)
    t.regex(restart.stdout, /restarted web\.service by systemd/)
    const successor = await systemd.property('web', 'MainPID')
    t.not(successor, pid)
    t.is((await systemd.run('cat', target)).stdout.trim(), successor)
    await systemd.systemctl('kill', '-s', 'KILL', 'web')
    await systemd.shows('web', 'ActiveState', 'failed')
    const start = await daemonic('start', '--name', 'web', '--pid-file', target, program[0])
    t.is(start.code, 1)
    t.regex(start.stderr, /web\.service of systemd: start it by `systemctl start web\.service`/)
    t.is(await systemd.property('web', 'ActiveState'), 'failed')
    await systemd.systemctl('start', 'web')
    t.regex((await daemonic('stop', target)).stdout, /systemd may start it again: `systemctl stop web\.service`/)
  },
)

withSystemd('lines for the journal have the priority of their level, others have none', async (t, systemd, scene) => {
  const program = inline(
    scene,
    `const { dev, ino } = fs.fstatSync(2)
    if (process.argv[2] === 'journal') process.env.JOURNAL_STREAM = dev + ':' + ino
    const daemon = daemonize({ name: 'web' })
    daemon.onStop(() => { throw new Error('one\\ntwo') })
    setInterval(() => {}, 1_000_000)`,
  )
  for (const [name, word] of [
    ['journal', 'journal'],
    ['file', 'none'],
  ] as const) {
    await systemd.service(name, [...program, word])
    await systemd.systemctl('start', name)
    await systemd.systemctl('stop', name)
  }
  const lines = scene.read('journal.log').split('\n')
  t.true(lines.some(line => /^<6>.* info: stopping on SIGTERM$/.test(line)))
  t.true(lines.some(line => /^<3>.* error: a stop hook failed: Error: one$/.test(line)))
  t.true(lines.includes('<3>two'))
  t.notRegex(scene.read('file.log'), /^<\d>/m)
})

withSystemd('the journal has these priorities', async (t, systemd, scene) => {
  for (const unit of ['systemd-journald.service', 'systemd-journald.socket', 'systemd-journald-dev-log.socket'])
    copyFileSync(`/lib/systemd/system/${unit}`, scene.path(`units/${unit}`))
  const [program] = inline(
    scene,
    `const daemon = daemonize({ name: 'web' })
    if (daemon.worker === 1) setTimeout(() => process.exit(3), 100)
    setInterval(() => {}, 1_000_000)`,
  )
  await systemd.service('web', running('--workers', '2', program), {
    StandardOutput: 'journal',
    StandardError: 'journal',
  })
  await systemd.systemctl('start', 'systemd-journald.socket')
  await systemd.systemctl('start', 'web')
  const entries = async () => {
    const { stdout } = await systemd.run('journalctl', '-u', 'web', '-o', 'json')
    return stdout
      .split('\n')
      .filter(Boolean)
      .map(line => JSON.parse(line) as { PRIORITY: string; MESSAGE: string })
  }
  const entry = await scene.until('it has told of the failure', async () =>
    (await entries()).find(({ MESSAGE }) => /supervisor: (error|warning): .*ended with 3/.test(MESSAGE)),
  )
  t.is(entry.PRIORITY, entry.MESSAGE.includes(' error: ') ? '3' : '4')
  t.true((await entries()).every(({ MESSAGE }) => !MESSAGE.startsWith('<')))
})

// ── A supervisor ─────────────────────────────────────────────────────────────────────────

withSystemd(
  'the supervisor tells how its workers are, and answers the watchdog for them',
  async (t, systemd, scene) => {
    const [program] = inline(
      scene,
      `const daemon = daemonize({ name: 'web' })
    daemon.setStatus('serving as ' + daemon.worker)
    fs.writeFileSync(here + '/pid.' + daemon.worker, String(process.pid))
    setInterval(() => { if (fs.existsSync(here + '/hang.' + daemon.worker)) { fs.rmSync(here + '/hang.' + daemon.worker); while (true) {} } }, 10)`,
    )
    await systemd.service('web', running('--workers', '2', program), { WatchdogSec: 2 })
    await systemd.systemctl('start', 'web')
    await systemd.shows('web', 'StatusText', '2 workers are ready; serving as 0; serving as 1')
    const heard = async () => Number(await systemd.property('web', 'WatchdogTimestampMonotonic'))
    const first = await heard()
    await scene.until('it has beaten for twice its limit', async () => (await heard()) > first + 4_000_000)
    const before = scene.read('pid.1')
    scene.write('hang.1', '')
    await scene.until('another worker has its place', () => scene.read('pid.1') !== before)
    await systemd.shows('web', 'StatusText', /^2 workers are ready;.*SIGABRT/)
    t.is(await systemd.property('web', 'NRestarts'), '0')
    t.is(await systemd.property('web', 'ActiveState'), 'active')
  },
)

withSystemd(
  'a reload of workers drops no request, and a new image of the supervisor goes on beating',
  async (t, systemd, scene) => {
    const [program] = inline(
      scene,
      `import { createServer } from 'node:http'
    const daemon = daemonize({ name: 'web', listen: { web: here + '/web.sock' } })
    daemon.serve(createServer((_, response) => setTimeout(() => response.end(String(process.pid)), 20)), 'web')`,
    )
    await systemd.service('web', running('--workers', '2', '--settle', '10ms', program), {
      WatchdogSec: 1,
      ExecReload: '/bin/kill -HUP $MAINPID',
    })
    await systemd.systemctl('start', 'web')
    const pid = await systemd.property('web', 'MainPID')
    const answers = new Set<string>()
    let isOver = false
    const clients = [0, 1, 2].map(async () => {
      while (!isOver) answers.add(await answerOf(scene.path('web.sock')))
    })
    const before = await scene.until('both have answered', () => answers.size === 2 && [...answers])
    await systemd.systemctl('reload', 'web')
    await systemd.shows('web', 'SubState', 'running')
    await scene.until('two others have answered', () => answers.size === 4)
    isOver = true
    await Promise.all(clients)
    t.is(before.length, 2)
    await systemd.systemctl('kill', '-s', 'USR2', '--kill-who=main', 'web')
    await scene.until('it was executed anew', () => scene.read('web.log').includes('executed anew'))
    const heard = async () => Number(await systemd.property('web', 'WatchdogTimestampMonotonic'))
    const first = await heard()
    await scene.until('it has beaten for twice its limit', async () => (await heard()) > first + 2_000_000)
    t.is(await systemd.property('web', 'MainPID'), pid)
  },
)

/** The body of an answer to a request. @throws the request gets none */
async function answerOf(path: string): Promise<string> {
  const client = connect(path)
  client.write('GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n')
  const answer = await text(client)
  const [, body = ''] = answer.split('\r\n\r\n')
  if (!answer.startsWith('HTTP/1.1 200')) throw new Error(`no answer: ${answer}`)
  return body.split('\r\n')[1] ?? body
}
