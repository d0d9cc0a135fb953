// `daemonic run` as pid 1 of a container: namespaces of its own, without a service manager, a home or a user database's word.
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import test from 'ava'
import { CLI } from './support/cli.js'
import { inline, plain } from './support/inline.js'
import { withNamespaces } from './support/locks.js'
import { finished, Scene } from './support/scene.js'

const node = process.execPath
const SUPERVISOR = join(dirname(CLI), '..', 'native', 'daemonic-supervisor')

/** Starts a command as pid 1 of namespaces of its own; `prepare` is a shell's, before it becomes the command. */
function container(scene: Scene, command: readonly string[], prepare = '') {
  const shell = ['sh', '-c', `${prepare}\nexec "$@"`, 'sh', ...command]
  const flags = ['--pid', '--fork', '--kill-child', '--mount', '--mount-proc']
  return scene.spawn('unshare', [...flags, ...shell], { env: { HOME: undefined, XDG_STATE_HOME: undefined } })
}

/** The pid outside of the process that is pid 1 inside. */
function firstOf(pid: number | undefined): number {
  return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8'))
}

withNamespaces(
  'pid 1 passes the signal on, ends within the grace period, and writes to its standard streams',
  async t => {
    const scene = new Scene(t)
    const [program] = plain(
      scene,
      `console.log('to stdout')
console.error('to stderr')
process.on('SIGTERM', () => { console.log('asked'); process.exit(3) })
tell('up', process.pid)`,
    )
    const child = container(scene, [node, CLI, 'run', program])
    const end = finished(child)
    await scene.until('it is up', () => scene.exists('up'))
    process.kill(firstOf(child.pid), 'SIGTERM')
    const { code, stdout, stderr } = await end
    t.is(code, 3)
    t.is(stdout, 'to stdout\nasked\n')
    t.regex(stderr, /^to stderr$/m)
  },
)

withNamespaces('pid 1 reaps what its workers leave behind', async t => {
  const scene = new Scene(t)
  // Each shell exits before its child does: an orphan, whose parent is then pid 1.
  const [program] = plain(
    scene,
    `import { execSync } from 'node:child_process'
for (let i = 0; i < 20; i++) execSync('(sleep 0.1 &) ; :')
tell('up', '')`,
  )
  const child = container(scene, [node, CLI, 'run', program])
  const end = finished(child)
  await scene.until('it is up', () => scene.exists('up'))
  const first = firstOf(child.pid)
  await scene.until(
    'pid 1 has its worker alone',
    () => readFileSync(`/proc/${first}/task/${first}/children`, 'utf8').trim().split(' ').length === 1,
  )
  process.kill(first, 'SIGTERM')
  t.is((await end).code, 0)
})

withNamespaces('a read-only root, no /run, and a user that no database knows', async t => {
  const scene = new Scene(t)
  const [program] = inline(
    scene,
    `import { createServer } from 'node:http'
    const daemon = daemonize({ name: 'web', listen: { web: '127.0.0.1:0' } })
    daemon.serve(createServer((_, response) => response.end('ok')), 'web')
    const answer = await fetch('http://' + daemon.sockets.web.address)
    console.log('answers', await answer.text(), process.getuid(), process.env.HOME)`,
  )
  // Without a place to write to, not even a temporary one.
  const prepare = `mount -t tmpfs -o ro tmpfs /run && mount -t tmpfs -o ro tmpfs /root 2>/dev/null
for each in $(findmnt -rno TARGET | sort -r); do mount -o remount,bind,ro "$each" 2>/dev/null; done
unset HOME; set -- setpriv --reuid 54321 --regid 54321 --clear-groups "$@"`
  const child = container(scene, [node, CLI, 'run', '--workers', '2', program], prepare)
  scene.giveTo(54321)
  const end = finished(child)
  let said = ''
  child.stdout?.on('data', chunk => (said += chunk))
  await scene.until('both workers answer', () => said.match(/answers ok 54321 undefined/g)?.length === 2)
  process.kill(firstOf(child.pid), 'SIGTERM')
  const { code, stderr } = await end
  t.is(code, 0, stderr)
})

// ── Probes ───────────────────────────────────────────────────────────────────────────────

for (const [what, probe] of [
  ['daemonic status --probe', (kind: string, file: string) => [node, CLI, 'status', '--probe', kind, file]],
  ['daemonic-supervisor probe', (kind: string, file: string) => [SUPERVISOR, 'probe', file, kind]],
] as const) {
  test(`${what}: live while it starts, ready once it serves, neither without it`, async t => {
    const scene = new Scene(t)
    const ask = async (kind: string) => {
      const [command = '', ...words] = probe(kind, scene.path('d.pid'))
      const { code, stdout, stderr } = await scene.run(command, words)
      t.is(stderr, '')
      t.is(stdout.split('\n').length, 2, 'one line')
      return [code, stdout.trim()] as const
    }
    for (const options of ['', ', monitor: true']) {
      for (const kind of ['live', 'ready']) t.is((await ask(kind))[0], 1)
      const program = inline(
        scene,
        `const daemon = become({ ready: 'manual'${options} })
      while (!fs.existsSync(here + '/go')) await sleep(10)
      daemon.ready()
      setInterval(() => {}, 1_000_000)`,
      )
      const launcher = scene.spawnNode(program)
      const end = finished(launcher)
      await scene.until('it has a pid', () => scene.exists('d.pid') && scene.read('d.pid').trim())
      await scene.until('it is live', async () => (await ask('live'))[0] === 0)
      t.deepEqual([(await ask('ready'))[0]], [1])
      scene.write('go', '')
      t.is((await end).code, 0)
      const [code, line] = await ask('ready')
      t.is(code, 0)
      t.regex(line, /^pid \d+/)
      process.kill(Number(scene.read('d.pid')), 'SIGTERM')
      await scene.until('it has ended', () => !scene.exists('d.pid'))
      await scene.empty()
      scene.remove('go')
    }
  })
}

test('a supervisor that hangs is not live', async t => {
  const scene = new Scene(t)
  const { code, stderr } = await scene.node(
    inline(scene, `become({ monitor: true })\nsetInterval(() => {}, 1_000_000)`),
  )
  t.is(code, 0, stderr)
  const pid = Number(scene.read('d.pid'))
  process.kill(pid, 'SIGSTOP')
  const { code: live, stdout } = await scene.run(SUPERVISOR, ['probe', scene.path('d.pid'), 'live'])
  t.is(live, 1)
  t.regex(stdout, /does not answer/)
  process.kill(pid, 'SIGCONT')
})

withNamespaces('a probe inside the container finds pid 1', async t => {
  const scene = new Scene(t)
  const [program] = plain(scene, `tell('up', '')`)
  const child = container(scene, [node, CLI, 'run', '--pid-file', scene.path('web.pid'), program])
  await scene.until('it is up', () => scene.exists('up'))
  const inside = ['-t', String(firstOf(child.pid)), '-m', '-p']
  const line = await scene.until('it is ready', async () => {
    const { code, stdout } = await scene.run('nsenter', [...inside, SUPERVISOR, 'probe', scene.path('web.pid')])
    return code === 0 && stdout
  })
  t.is(line, 'pid 1: 1 of 1 workers ready\n')
})
