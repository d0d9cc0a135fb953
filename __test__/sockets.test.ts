// Listening sockets: bound by the launcher, passed as systemd passes them, and gone with the daemon.
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { chmodSync, mkdirSync, readFileSync, statSync } from 'node:fs'
import test from 'ava'
import { address, become, GREETER, greeting, hasV6, listener, portOf, refused } from './support/listening.js'
import { asRoot, killed, NOBODY, STAY, withPython } from './support/locks.js'
import { program, runProgram, startProgram } from './support/program.js'
import { Scene } from './support/scene.js'

// ── TCP ──────────────────────────────────────────────────────────────────────────────────

const TCP: [target: unknown, address: RegExp, hosts: string[]][] = [
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
    const pid = await startProgram(
      scene,
      `${become({ it: target })} tell('told', JSON.stringify(daemon.sockets)); ${GREETER}`,
    )
    const bound = await address(scene)
    t.regex(bound, form)
    t.deepEqual(JSON.parse(scene.read('told')), { it: { fd: 3, address: bound } })
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
  await refused(t, scene, `${become({ one: './one.sock', it: `127.0.0.1:${port}` }, { log: 'ignore' })} ${STAY}`, says)
})

test('two can share a port that both reuse, and a third that doesn’t is refused', async t => {
  const scene = new Scene(t)
  const text = `import net from 'node:net'
const [, , pidFile, port, reusePort] = process.argv
const daemon = daemonize({ pidFile, listen: { it: { host: '127.0.0.1', port: Number(port), reusePort: reusePort === 'true' } } }); ${GREETER}`
  const path = program(scene, text)
  t.is((await scene.node(path, { args: ['./a.pid', '0', 'true'] })).code, 0)
  const port = portOf(await address(scene, 'it', 'a.pid'))
  t.is((await scene.node(path, { args: ['./b.pid', `${port}`, 'true'] })).code, 0)
  t.is(await address(scene, 'it', 'b.pid'), `127.0.0.1:${port}`)
  const third = await scene.node(path, { args: ['./c.pid', `${port}`, 'false'] })
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
    pid = await startProgram(scene, `${become({ it: `127.0.0.1:${port}` }, { user: 'nobody' })} ${GREETER}`).catch(
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
  await refused(t, scene, `${become({ it: '127.0.0.1:1' }, { log: 'ignore' })} ${STAY}`, says, {
    uid: NOBODY,
    gid: NOBODY,
  })
})

// ── UDP ──────────────────────────────────────────────────────────────────────────────────

for (const [what, use] of [
  ['serve()', `daemon.serve(socket, 'it')`],
  ['bind()', `new Promise(resolve => socket.bind(daemon.sockets.it, resolve))`],
] as const) {
  test(`a UDP socket answers what it gets, by ${what}`, async t => {
    const scene = new Scene(t)
    const text = `import dgram from 'node:dgram'
const socket = dgram.createSocket('udp4')
socket.on('message', (message, { port, address }) => socket.send('got ' + message, port, address))
await ${use}; tell('ready', '')`
    await startProgram(scene, `${become({ it: { host: '127.0.0.1', port: 0, udp: true } })} ${text}`)
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
    const path = program(scene, `${become({ it: { path: './d.sock', mode } })} ${GREETER}`)
    const { code, stderr } = await scene.run('sh', ['-c', `umask ${umask}; exec "$0" "$1"`, process.execPath, path])
    t.is(code, 0, stderr)
    const pid = Number(scene.read('d.pid'))
    t.is(await address(scene), scene.path('d.sock'))
    t.is(statSync(scene.path('d.sock')).mode & 0o7777, mode)
    t.is(await greeting({ path: scene.path('d.sock') }), `hello from ${pid}`)
    process.kill(pid, 'SIGTERM')
    await scene.empty()
    t.deepEqual(scene.files(), ['d.log', 'program.mjs'])
  })
}

test('its path may be longer than the kernel’s addresses, and is told whole', async t => {
  const scene = new Scene(t)
  const directory = `${'long'.repeat(20)}/${'longer'.repeat(20)}`
  mkdirSync(scene.path(directory), { recursive: true })
  const path = `./${directory}/d.sock`
  const pid = await startProgram(scene, `${become({ it: path })} tell('told', daemon.sockets.it.address); ${GREETER}`)
  t.is(await address(scene), scene.path(`${directory}/d.sock`))
  t.is(scene.read('told'), `${scene.path(`${directory}/d.sock`)}\n`)
  const client = `require('net').connect('d.sock').pipe(process.stdout)`
  const { stdout } = await scene.run(process.execPath, ['-e', client], { cwd: scene.path(directory) })
  t.is(stdout, `hello from ${pid}`)
  process.kill(pid, 'SIGTERM')
  await scene.empty()
  t.false(scene.exists(`${directory}/d.sock`))
})

test('a socket file that nobody answers on is replaced', async t => {
  const scene = new Scene(t)
  const pid = await startProgram(scene, `${become({ it: './d.sock' })} ${GREETER}`)
  process.kill(pid, 'SIGKILL')
  await scene.empty()
  t.true(statSync(scene.path('d.sock')).isSocket())
  const next = await startProgram(scene, `${become({ it: './d.sock' })} ${GREETER}`)
  t.is(await greeting({ path: scene.path('d.sock') }), `hello from ${next}`)
})

test('one that somebody answers on is refused, and its holder named', async t => {
  const scene = new Scene(t)
  await listener(t, { path: scene.path('d.sock') })
  const { ino } = statSync(scene.path('d.sock'))
  const says = new RegExp(`cannot listen on .*/d\\.sock: EADDRINUSE.*; pid ${process.pid} listens there\n$`)
  await refused(t, scene, `${become({ it: './d.sock' }, { log: 'ignore' })} ${STAY}`, says)
  t.is(statSync(scene.path('d.sock')).ino, ino)
})

withPython('so is one of another kind that somebody has', async t => {
  const scene = new Scene(t)
  const text = `import socket, signal\ns = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\ns.bind('d.sock')\nsignal.pause()`
  const other = scene.spawn('python3', ['-c', text])
  await scene.until('it is bound', () => scene.exists('d.sock'))
  const result = await runProgram(scene, `${become({ it: './d.sock' }, { log: 'ignore' })} ${STAY}`)
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
    await refused(
      t,
      scene,
      `${become({ it: './d.sock' }, { log: 'ignore' })} ${STAY}`,
      /EADDRINUSE.*; it is not a socket\n$/,
    )
  })
}

test('a start that fails leaves no socket file: of the others where one can’t be bound, nor after', async t => {
  const scene = new Scene(t)
  scene.write('taken', '')
  await refused(
    t,
    scene,
    `${become({ a: './a.sock', b: './b.sock', c: './taken' }, { log: 'ignore' })} ${STAY}`,
    /EADDRINUSE/,
  )
  await refused(t, scene, `${become({ a: './a.sock' }, { log: 'ignore' })} throw new Error('no')`, /no/)
  await refused(
    t,
    scene,
    `${become({ a: './missing/a.sock' }, { log: 'ignore' })} ${STAY}`,
    /ENOENT.*\/missing does not exist/,
  )
})

asRoot('a Unix socket that the user may not remove does not spoil the daemon’s end', async t => {
  const scene = new Scene(t)
  chmodSync(scene.directory, 0o755)
  const text = `process.on('exit', code => process._rawDebug('exit ' + code)); ${GREETER}`
  const pid = await startProgram(scene, become({ it: './d.sock' }, { user: 'nobody' }) + text)
  process.kill(pid, 'SIGTERM')
  await scene.empty()
  t.regex(scene.read('d.log'), /stopping on SIGTERM\nexit 0\n$/)
})
