// Supervisors tried for real: pid 1 of a namespace, what it adopts, and internet superservers. And what only looks so.
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type Server } from 'node:net'
import { text } from 'node:stream/consumers'
import test from 'ava'
import type { DetachContext } from 'daemonic'
import { AUTO, contexts, isAsExpected, told } from './support/contexts.js'
import { withNamespaces } from './support/locks.js'
import { finished, Scene } from './support/scene.js'

const node = process.execPath

// ── Pid 1 and its children ───────────────────────────────────────────────────────────────

/** `sh "$0"` becomes the program when its parent is pid 1. */
const ORPHAN = `until grep -q '^PPid:.1$' "/proc/$$/status"; do :; done\nexec "$@"\n`
/** What keeps a shell that is pid 1, and reaps, until the test ends. */
const REAP = 'cat >/dev/null; :'
const CHILD_OF_INIT = `(setsid sh "$0" "$@" &); ${REAP}`

const NAMESPACES: Record<string, { init: 'sh' | 'setsid sh'; command: string; context: DetachContext | null }> = {
  'pid 1': { init: 'sh', command: 'exec "$@"', context: 'container' },
  'a child of a shell that is pid 1': { init: 'sh', command: '"$@"; :', context: 'container' },
  'a child of a shell that is pid 1 and leads a session': {
    init: 'setsid sh',
    command: '"$@"; :',
    context: 'container',
  },
  'a leader of a session that is not init’s child': {
    init: 'setsid sh',
    command: `sh -c 'setsid -w "$@"; :' sh "$@"; ${REAP}`,
    context: null,
  },
  'a leader of a session whose parent is init': { init: 'setsid sh', command: CHILD_OF_INIT, context: 'init' },
  'an orphan in init’s session': { init: 'setsid sh', command: `(sh "$0" "$@" &); ${REAP}`, context: 'container' },
  'an orphan of a shell’s `&`': {
    init: 'setsid sh',
    command: `setsid sh -c 'sh "$0" "$@" & exit 0' "$0" "$@"; ${REAP}`,
    context: null,
  },
  'a leader of a session on a terminal whose parent is init': {
    init: 'sh',
    command: `SHELL=/bin/sh exec script -qec "exec $*" /dev/null`,
    context: null,
  },
  'a child of launchd': {
    init: 'setsid sh',
    command: `export XPC_SERVICE_NAME=org.example.service; ${CHILD_OF_INIT}`,
    context: 'launchd',
  },
  'a child of launchd that is no service': {
    init: 'setsid sh',
    command: `export XPC_SERVICE_NAME=0; ${CHILD_OF_INIT}`,
    context: 'init',
  },
}

/** Runs a shell as pid 1 of a namespace. */
function inNamespace(scene: Scene, init: 'sh' | 'setsid sh', command: string) {
  const shell = [...init.split(' '), '-c', command, scene.write('orphan.sh', ORPHAN), node, ...contexts('tells')]
  return scene.spawn('unshare', ['--pid', '--fork', '--kill-child', '--mount-proc', ...shell], {
    ...AUTO,
    stdio: ['pipe', 'ignore', 'ignore'],
  })
}

for (const [what, { init, command, context }] of Object.entries(NAMESPACES)) {
  withNamespaces(`${what} is in the context ${context}`, async t => {
    const scene = new Scene(t)
    if (command.includes('script') && (await scene.run('sh', ['-c', 'command -v script'])).code !== 0) {
      t.pass('skipped: there is no script(1) to make a terminal with')
      return
    }
    inNamespace(scene, init, command)
    isAsExpected(t, scene, await told(scene), context)
  })
}

withNamespaces('pid 1 stops on SIGTERM', async t => {
  const scene = new Scene(t)
  const unshare = inNamespace(scene, 'sh', 'exec "$@"')
  const end = finished(unshare)
  t.is((await told(scene)).pid, 1)
  const child = readFileSync(`/proc/${unshare.pid}/task/${unshare.pid}/children`, 'utf8')
  process.kill(Number(child), 'SIGTERM')
  t.is((await end).code, 0)
})

// ── Internet superservers ────────────────────────────────────────────────────────────────

/** All that the server at `port` answers, in the end. */
async function answer(port: number): Promise<string> {
  const client = connect(port, '127.0.0.1')
  client.end('hello\n')
  return text(client)
}

/** Listens on a port of the system's choice. */
async function portOf(server: Server): Promise<number> {
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return (server.address() as AddressInfo).port
}

test('one socket for standard input, output and errors is a superserver’s: it stays, and talks to the client', async t => {
  const scene = new Scene(t)
  const superserver = createServer({ pauseOnConnect: true }, client => {
    scene.spawn('setsid', ['-w', node, ...contexts('servesItsInput')], { ...AUTO, stdio: [client, client, client] })
    client.destroy()
  })
  t.teardown(() => superserver.close())
  t.is(await answer(await portOf(superserver)), 'inetd false\nhello\n')
  await scene.empty()
})

for (const [kind, service] of [
  ['nowait', 'servesItsInput'],
  ['nowait', 'servesItsConnection'],
  ['wait', 'servesAtItsInput'],
] as const) {
  withNamespaces(`under inetd(8) a \`${kind}\` service that ${service} stays, and talks to the client`, async t => {
    const scene = new Scene(t)
    if ((await scene.run('sh', ['-c', 'command -v inetd'])).code !== 0) {
      t.pass('skipped: there is no inetd(8), as in Debian’s package openbsd-inetd')
      return
    }
    const placeholder = createServer()
    const port = await portOf(placeholder)
    await once(placeholder.close(), 'close')
    const line = `127.0.0.1:${port} stream tcp4 ${kind} root ${node} node ${contexts(service).join(' ')}\n`
    // -d: in the foreground; -E: the environment stays. Its pid file must not replace that of the host's own.
    const command = 'mount -t tmpfs none /run && exec inetd -d -E "$0"'
    const inetd = scene.spawn('unshare', ['--mount', 'sh', '-c', command, scene.write('inetd.conf', line)], AUTO)
    const { stdout, stderr } = inetd
    stdout?.resume()
    let log = ''
    stderr?.setEncoding('utf8').on('data', chunk => (log += chunk))
    await scene.until('inetd listens', () => isListening(port))
    t.is(await answer(port), 'inetd false\nhello\n', log)
    await scene.until('the service has ended', () => scene.processes().length === 1)
    t.is(await answer(port), 'inetd false\nhello\n', 'and again')
  })
}

/** Asked without connecting, which would start a service: proc_net(5). */
function isListening(port: number): boolean {
  const local = `0100007F:${port.toString(16).toUpperCase().padStart(4, '0')}`
  return readFileSync('/proc/net/tcp', 'latin1').includes(`${local} 00000000:0000 0A`)
}
