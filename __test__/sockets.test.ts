// Listening sockets: bound by the launcher, passed as systemd passes them, and gone with the daemon.
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { chmodSync, mkdirSync, readFileSync, statSync } from 'node:fs'
import test from 'ava'
import type { ListenMap, ListenTarget } from 'daemonic'
import { address, greeting, hasV6, listener, portOf, sockets } from './support/listening.js'
import { asRoot, killed, NOBODY, withPython } from './support/locks.js'
import { startProgram } from './support/program.js'
import { refused } from './support/refused.js'
import { Scene } from './support/scene.js'

const AT_D_SOCK = sockets('stays', { listen: { it: './d.sock' }, log: 'ignore' })

// ── TCP ──────────────────────────────────────────────────────────────────────────────────

const TCP: [target: ListenTarget, address: RegExp, hosts: string[]][] = [
  ['127.0.0.1:0', /^127\.0\.0\.1:\d+$/, ['127.0.0.1']],
  [{ host: '127.0.0.1', port: 0, backlog: 3 }, /^127\.0\.0\.1:\d+$/, ['127.0.0.1']],
  ['localhost:0', /^(127\.0\.0\.1|\[::1\]):\d+$/, ['localhost']],
  ['0.0.0.0:0', /^0\.0\.0\.0:\d+$/, ['127.0.0.1']],
  ['[::1]:0', /^\[::1\]:\d+$/, ['::1']],
  [{ host: '::', port: 0, ipv6Only: true }, /^\[::\]:\d+$/, ['::1']],
  [0, /^(\[::\]|0\.0\.0\.0):\d+$/, hasV6 ? ['127.0.0.1', '::1'] : ['127.0.0.1']],
  [':0', /^(\[::\]|0\.0\.0\.0):\d+$/, hasV6 ? ['127.0.0.1', '::1'] : ['127.0.0.1']],
]

for (const [target, form, hosts] of TCP) {
  test(`${JSON.stringify(target)} listens on a port of its own, which is told, on ${hosts}`, async t => {
    if (hosts.includes('::1') && !hasV6) {
      t.pass('skipped: this host has no IPv6')
      return
    }
    const scene = new Scene(t)
    const pid = await startProgram(scene, sockets('tellsAndGreets', { listen: { it: target } }))
    const bound = await address(scene)
    t.regex(bound, form)
    t.deepEqual(JSON.parse(scene.read('told')).sockets, { it: { fd: 3, address: bound } })
    for (const host of hosts) t.is(await greeting({ host, port: portOf(bound) }), `hello from ${pid}`)
    if (hosts.includes('localhost')) return // which one that is, the host's resolver decides
    for (const host of hasV6 ? ['127.0.0.1', '::1'] : []) {
      if (!hosts.includes(host)) await t.throwsAsync(greeting({ host, port: portOf(bound) }), { code: 'ECONNREFUSED' })
    }
  })
}

test('a port that is taken is refused, and its holder named', async t => {
  const scene = new Scene(t)
  const server = await listener(t, { port: 0, host: '127.0.0.1' })
  const { port } = server.address() as { port: number }
  const says = new RegExp(
    `cannot listen on 127.0.0.1:${port}: EADDRINUSE, address already in use; pid ${process.pid} listens there\n$`,
  )
  const listen = { one: './one.sock', it: `127.0.0.1:${port}` }
  await refused(t, scene, sockets('stays', { listen, log: 'ignore' }), { says })
})

test('two can share a port that both reuse, and a third that doesn’t is refused', async t => {
  const scene = new Scene(t)
  const sharing = (pidFile: string, port: number, reusePort = true) =>
    sockets('greets', { pidFile, listen: { it: { host: '127.0.0.1', port, reusePort } } })
  t.is((await scene.node(sharing('./a.pid', 0))).code, 0)
  const port = portOf(await address(scene, 'it', 'a.pid'))
  t.is((await scene.node(sharing('./b.pid', port))).code, 0)
  t.is(await address(scene, 'it', 'b.pid'), `127.0.0.1:${port}`)
  const third = await scene.node(sharing('./c.pid', port, false))
  t.is(third.code, 1)
  t.regex(third.stderr, /EADDRINUSE/)
  process.kill(Number(scene.read('a.pid')), 'SIGTERM')
  await scene.until('the first has ended', () => !scene.exists('a.pid'))
  t.is(await greeting({ host: '127.0.0.1', port }), `hello from ${scene.read('b.pid').trim()}`)
})

asRoot('a port below 1024 is bound before the privileges drop, and served after', async t => {
  const scene = new Scene(t)
  let pid: number | undefined
  let port = 1024
  // Whatever else listens on this host: the first that is free.
  while (pid === undefined && --port > 600)
    pid = await startProgram(scene, sockets('greets', { listen: { it: `127.0.0.1:${port}` }, user: 'nobody' })).catch(
      () => undefined,
    )
  t.is(await greeting({ host: '127.0.0.1', port }), `hello from ${pid}`)
  t.regex(readFileSync(`/proc/${pid}/status`, 'utf8'), new RegExp(`^Uid:\\s+${NOBODY}\\s`, 'm'))
})

asRoot('an ordinary user hears that it may not bind a port below 1024', async t => {
  if (Number(readFileSync('/proc/sys/net/ipv4/ip_unprivileged_port_start', 'utf8')) < 1024) {
    t.pass('skipped: any user may bind any port here')
    return
  }
  const scene = new Scene(t)
  scene.giveTo(NOBODY)
  const says =
    /cannot listen on 127\.0\.0\.1:1: EACCES, permission denied; ports below 1024 need root or CAP_NET_BIND_SERVICE/
  await refused(t, scene, sockets('stays', { listen: { it: '127.0.0.1:1' }, log: 'ignore' }), {
    says,
    run: { uid: NOBODY, gid: NOBODY },
  })
})

// ── UDP ──────────────────────────────────────────────────────────────────────────────────

for (const how of ['serve()', 'bind()'] as const) {
  test(`a UDP socket answers what it gets, by ${how}`, async t => {
    const scene = new Scene(t)
    const listen = { it: { host: '127.0.0.1', port: 0, udp: true } }
    await startProgram(scene, sockets('answersDatagrams', { listen }, how))
    await scene.until('it is bound', () => scene.exists('ready'))
    const bound = await address(scene)
    t.regex(bound, /^127\.0\.0\.1:\d+$/)
    const client = createSocket('udp4')
    t.teardown(() => client.close())
    client.send('something', portOf(bound), '127.0.0.1')
    const [answer] = await once(client, 'message')
    t.is(String(answer), 'got something')
  })
}

// ── Unix sockets ─────────────────────────────────────────────────────────────────────────

for (const [mode, umask] of [
  [0o600, '000'],
  [0o666, '077'],
  [0o660, '022'],
] as const) {
  test(`a Unix socket has the mode 0o${mode.toString(8)} under a umask of ${umask}, and goes with the daemon`, async t => {
    const scene = new Scene(t)
    const greets = sockets('greets', { listen: { it: { path: './d.sock', mode } } })
    const { code, stderr } = await scene.by('sh', `umask ${umask}; exec "$@"`, greets)
    t.is(code, 0, stderr)
    const pid = Number(scene.read('d.pid'))
    t.is(await address(scene), scene.path('d.sock'))
    t.is(statSync(scene.path('d.sock')).mode & 0o7777, mode)
    t.is(await greeting({ path: scene.path('d.sock') }), `hello from ${pid}`)
    process.kill(pid, 'SIGTERM')
    await scene.empty()
    t.deepEqual(scene.files(), ['d.log'])
  })
}

test('its path may be longer than the kernel’s addresses, and is told whole', async t => {
  const scene = new Scene(t)
  const directory = `${'long'.repeat(20)}/${'longer'.repeat(20)}`
  mkdirSync(scene.path(directory), { recursive: true })
  const path = `./${directory}/d.sock`
  const pid = await startProgram(scene, sockets('tellsAndGreets', { listen: { it: path } }))
  t.is(await address(scene), scene.path(`${directory}/d.sock`))
  t.is(JSON.parse(scene.read('told')).sockets.it.address, scene.path(`${directory}/d.sock`))
  const client = `require('net').connect('d.sock').pipe(process.stdout)`
  const { stdout } = await scene.run(process.execPath, ['-e', client], { cwd: scene.path(directory) })
  t.is(stdout, `hello from ${pid}`)
  process.kill(pid, 'SIGTERM')
  await scene.empty()
  t.false(scene.exists(`${directory}/d.sock`))
})

test('a socket file that nobody answers on is replaced', async t => {
  const scene = new Scene(t)
  const pid = await startProgram(scene, sockets('greets', { listen: { it: './d.sock' } }))
  process.kill(pid, 'SIGKILL')
  await scene.empty()
  t.true(statSync(scene.path('d.sock')).isSocket())
  const next = await startProgram(scene, sockets('greets', { listen: { it: './d.sock' } }))
  t.is(await greeting({ path: scene.path('d.sock') }), `hello from ${next}`)
})

test('one that somebody answers on is refused, and its holder named', async t => {
  const scene = new Scene(t)
  await listener(t, { path: scene.path('d.sock') })
  const { ino } = statSync(scene.path('d.sock'))
  const says = new RegExp(`cannot listen on .*/d\\.sock: EADDRINUSE.*; pid ${process.pid} listens there\n$`)
  await refused(t, scene, AT_D_SOCK, { says })
  t.is(statSync(scene.path('d.sock')).ino, ino)
})

withPython('so is one of another kind that somebody has', async t => {
  const scene = new Scene(t)
  const text = `import socket, signal\ns = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\ns.bind('d.sock')\nsignal.pause()`
  const other = scene.spawn('python3', ['-c', text])
  await scene.until('it is bound', () => scene.exists('d.sock'))
  const result = await scene.node(AT_D_SOCK)
  t.is(result.code, 1)
  t.regex(result.stderr, /EADDRINUSE/)
  t.true(scene.exists('d.sock'))
  await killed(other)
})

for (const [what, make] of [
  ['a file', (path: string, scene: Scene) => void scene.write('d.sock', path)],
  ['a directory', (path: string) => void mkdirSync(path)],
] as const) {
  test(`${what} in its place is refused and left alone`, async t => {
    const scene = new Scene(t)
    make(scene.path('d.sock'), scene)
    await refused(t, scene, AT_D_SOCK, { says: /EADDRINUSE.*; it is not a socket\n$/ })
  })
}

test('a start that fails leaves no socket file: of the others where one can’t be bound, nor after', async t => {
  const scene = new Scene(t)
  scene.write('taken', '')
  const unlogged = (listen: ListenMap) => ({ listen, log: 'ignore' })
  const taken = unlogged({ a: './a.sock', b: './b.sock', c: './taken' })
  await refused(t, scene, sockets('stays', taken), { says: /EADDRINUSE/ })
  await refused(t, scene, sockets('ends', unlogged({ a: './a.sock' }), { throws: 'no' }), { says: /no/ })
  const missing = unlogged({ a: './missing/a.sock' })
  await refused(t, scene, sockets('stays', missing), { says: /ENOENT.*\/missing does not exist/ })
})

asRoot('a Unix socket that the user may not remove does not spoil the daemon’s end', async t => {
  const scene = new Scene(t)
  chmodSync(scene.directory, 0o755)
  const telling = sockets('tellsItsEndAndGreets', { listen: { it: './d.sock' }, user: 'nobody' })
  const pid = await startProgram(scene, telling)
  process.kill(pid, 'SIGTERM')
  await scene.empty()
  t.regex(scene.read('d.log'), /stopping on SIGTERM\nexit 0\n$/)
})
