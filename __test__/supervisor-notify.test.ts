// The supervisor as the service manager of programs that speak sd_notify(3): what people really use for that.
import { spawnSync } from 'node:child_process'
import test, { type ExecutionContext } from 'ava'
import type { LaunchOptions } from 'daemonic'
import { launchOnce } from './support/launching.js'
import { Scene, script } from './support/scene.js'
import { Supervisor } from './support/supervised.js'

/** Launches a program whose readiness is its own word; its name is d. */
async function launched(scene: Scene, program: string, options: LaunchOptions): Promise<Supervisor> {
  const { error, pid = 0 } = await launchOnce(scene, [program], { name: 'd', ready: 'manual', ...options })
  if (error) throw new Error(JSON.stringify(error))
  return new Supervisor(scene, pid)
}

async function hasStatus(supervisor: Supervisor, text: string): Promise<true> {
  return supervisor.scene.until(`its status is ${text}`, async () => {
    const { workers, statusText } = await supervisor.status()
    return workers.length === 1 && statusText === text && (true as const)
  })
}

/** Declares a test that needs a command to succeed; elsewhere it is skipped, and says why. */
function needing(
  what: string,
  command: readonly [string, ...string[]],
  title: string,
  body: (t: ExecutionContext) => Promise<void>,
) {
  const [file, ...words] = command
  const isThere = spawnSync(file, words).status === 0
  test(title, async t => {
    if (isThere) return body(t)
    t.log(`skipped: there is no ${what}`)
    t.pass()
  })
}

needing(
  'systemd-notify (Debian’s package systemd)',
  ['systemd-notify', '--version'],
  'systemd-notify, which exits at once, is believed each time',
  async t => {
    for (let start = 0; start < 5; start++) {
      const scene = new Scene(t)
      const path = scene.write('d.sh', 'systemd-notify --ready --status="from a shell"\nexec sleep 1000\n')
      await hasStatus(await launched(scene, path, { interpreter: '/bin/sh' }), 'from a shell')
      t.pass()
    }
  },
)

needing(
  'Python module sdnotify (Debian’s package python3-sdnotify)',
  ['/usr/bin/python3', '-c', 'import sdnotify'],
  'Python’s sdnotify is believed, and keeps the watchdog content',
  async t => {
    const scene = new Scene(t)
    const path = scene.write(
      'd.py',
      `import os, time, sdnotify
notifier = sdnotify.SystemdNotifier(debug=True)
limit = int(os.environ['WATCHDOG_USEC']) / 1e6
notifier.notify('READY=1')
for count in range(40):
    notifier.notify(f'WATCHDOG=1\\nSTATUS=beat {count}')
    time.sleep(limit / 10)
while True: time.sleep(1000)
`,
    )
    const supervisor = await launched(scene, path, { interpreter: '/usr/bin/python3', monitor: { watchdog: 1_000 } })
    const pid = await supervisor.worker()
    await hasStatus(supervisor, 'beat 39')
    t.is(await supervisor.worker(), pid)
    t.not(await supervisor.worker([pid]), pid)
  },
)

needing('C compiler', ['cc', '--version'], 'a program in C is believed', async t => {
  const scene = new Scene(t)
  const { status, stderr } = spawnSync('cc', ['-o', scene.path('d'), script('notify.c')], { encoding: 'utf8' })
  t.is(status, 0, stderr)
  await hasStatus(await launched(scene, scene.path('d'), { interpreter: null }), 'from C')
})

needing(
  'systemd-notify (Debian’s package systemd)',
  ['systemd-notify', '--version'],
  'what a process says that is none of the program’s own is not believed',
  async t => {
    const scene = new Scene(t)
    const path = scene.write(
      'd.sh',
      `echo "$NOTIFY_SOCKET" >address
until test -e go; do sleep 0.02; done
systemd-notify --ready --status=own
exec sleep 1000\n`,
    )
    const launching = launched(scene, path, { interpreter: '/bin/sh', chdir: scene.directory })
    const address = await scene.until(
      'it has its address',
      () => scene.exists('address') && scene.read('address').trim(),
    )
    // Without a barrier systemd-notify waits for nothing; it exits with 0 once the datagram is in the socket's queue.
    const stranger = spawnSync('systemd-notify', ['--ready', '--status=stranger'], {
      env: { ...process.env, NOTIFY_SOCKET: address },
    })
    t.is(stranger.status, 0)
    scene.write('go', '')
    const supervisor = await launching
    await hasStatus(supervisor, 'own')
    t.true(supervisor.scene.exists('go'))
  },
)
