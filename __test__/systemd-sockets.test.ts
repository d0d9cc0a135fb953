// Sockets that systemd passes: of socket units, by connection, and from its store across a restart.
import { CLI } from './support/cli.js'
import { answerOf, freePort } from './support/http.js'
import { inline } from './support/inline.js'
import type { Scene } from './support/scene.js'
import { commandLine, withSystemd } from './support/systemd.js'

/** A server that tells what its daemon's sockets are, and notes that it has started. */
const SERVES = `import { createServer } from 'node:http'
daemon.serve(createServer((_, response) => response.end(JSON.stringify(daemon.sockets))), 'web')
fs.appendFileSync(here + '/starts', process.pid + '\\n')`

function serving(scene: Scene, listen: string) {
  return inline(scene, `const daemon = daemonize({ name: 'web', listen: { web: ${listen} } })\n${SERVES}`)
}

// ── Socket units ─────────────────────────────────────────────────────────────────────────

for (const [what, named] of [
  ['the name of the unit', {}],
  ['FileDescriptorName=', { FileDescriptorName: 'web' }],
] as const) {
  withSystemd(`a socket unit’s socket is the one of \`listen\` by ${what}`, async (t, systemd, scene) => {
    await systemd.service('web', serving(scene, `here + '/other.sock'`))
    await systemd.unit('web.socket', { Socket: { ListenStream: scene.path('unit.sock'), ...named } })
    await systemd.systemctl('start', 'web.socket')
    t.false(scene.exists('starts'))
    t.regex(await answerOf(scene.path('unit.sock')), /{"web":{"fd":3,"address":"[^"]*\/unit\.sock"}}$/)
    t.false(scene.exists('other.sock'))
    await systemd.systemctl('stop', 'web.service')
    t.true(scene.exists('unit.sock'), 'the socket unit goes on listening')
  })
}

withSystemd(
  'a socket unit’s socket of another name is the one of `listen` that has its port',
  async (t, systemd, scene) => {
    const port = await freePort()
    await systemd.service('web', serving(scene, String(port)))
    await systemd.unit('web.socket', { Socket: { ListenStream: `127.0.0.1:${port}`, FileDescriptorName: 'http' } })
    await systemd.systemctl('start', 'web.socket')
    t.regex(await answerOf(port), new RegExp(`{"web":{"fd":3,"address":"127\\.0\\.0\\.1:${port}"}}$`))
  },
)

withSystemd(
  'workers share a socket unit’s socket, whether the program knows of daemons or not',
  async (t, systemd, scene) => {
    const port = await freePort()
    const [known] = serving(scene, String(port))
    const plain = scene.write(
      'plain.mjs',
      `import { createServer } from 'node:http'
    createServer((_, response) => response.end('plain')).listen(${port})\n`,
    )
    const python = scene.write(
      'serves.py',
      `import os, socket
assert os.environ['LISTEN_PID'] == str(os.getpid()) and os.environ['LISTEN_FDS'] == '1'
while True:
    client, _ = socket.socket(fileno=3).accept()
    client.recv(64), client.sendall(b'python'), client.close()\n`,
    )
    for (const [name, words, answer] of [
      ['known', ['--workers', '2', known], /"address":"127\.0\.0\.1:\d+"/],
      ['plain', ['--workers', '2', plain], /plain$/],
      ['foreign', ['--', 'python3', python], /^python/],
    ] as const) {
      await systemd.service(name, commandLine([CLI, 'run', ...words]), { Type: 'notify' })
      await systemd.unit(`${name}.socket`, { Socket: { ListenStream: `127.0.0.1:${port}` } })
      await systemd.systemctl('start', `${name}.socket`)
      t.regex(await answerOf(port), answer)
      await systemd.systemctl('stop', `${name}.socket`, `${name}.service`)
    }
  },
)

withSystemd(
  'Accept=yes: a server serves the one connection, and the daemon ends with it',
  async (t, systemd, scene) => {
    await systemd.service('web@', serving(scene, `here + '/other.sock'`), { Type: 'simple' })
    await systemd.unit('web.socket', { Socket: { ListenStream: scene.path('unit.sock'), Accept: 'yes' } })
    await systemd.systemctl('start', 'web.socket')
    for (const _ of [1, 2]) t.regex(await answerOf(scene.path('unit.sock')), /^HTTP\/1\.1 200/)
    await scene.until('both have ended', async () =>
      (await systemd.systemctl('list-units', '--plain', 'web@*')).includes('0 loaded'),
    )
    t.is(scene.read('starts').split('\n').length, 3)
    t.notRegex(await systemd.systemctl('list-units', '--all', '--plain', 'web@*'), /failed/)
  },
)

// ── The store ────────────────────────────────────────────────────────────────────────────

const STORE = { FileDescriptorStoreMax: 4, Environment: [] as readonly string[] }

/** A restart waits in the middle for the file `go`, while nothing of the service runs. */
function storing(scene: Scene) {
  const environment = [`SCENE=${scene.directory}`, 'FDSTORE=4']
  const waits = `/bin/sh -c 'test ! -e ${scene.path('starts')} || until test -e ${scene.path('go')}; do sleep 0.02; done'`
  return { ...STORE, Environment: environment, ExecStartPre: waits }
}

for (const [what, command] of [
  ['a program', (scene: Scene, listen: string) => commandLine(serving(scene, listen))],
  [
    'a supervisor',
    (scene: Scene, listen: string) => commandLine([CLI, 'run', '--workers', '2', ...serving(scene, listen)]),
  ],
] as const) {
  for (const [kind, listen] of [
    ['a port', (port: number) => `'127.0.0.1:${port}'`],
    ['a path', () => `here + '/web.sock'`],
  ] as const) {
    withSystemd(
      `the socket of ${what} on ${kind} takes connections while the service restarts`,
      async (t, systemd, scene) => {
        const port = await freePort()
        await systemd.service('web', command(scene, listen(port)), storing(scene))
        await systemd.systemctl('start', 'web')
        const to = kind === 'a port' ? port : scene.path('web.sock')
        t.regex(await answerOf(to), /^HTTP\/1\.1 200/)
        const before = await systemd.property('web', 'MainPID')
        await systemd.systemctl('restart', '--no-block', 'web')
        await systemd.shows('web', 'SubState', 'start-pre')
        const answer = answerOf(to)
        scene.write('go', '')
        t.regex(await answer, /^HTTP\/1\.1 200/)
        t.not(await systemd.property('web', 'MainPID'), before)
        t.is(await systemd.property('web', 'NFileDescriptorStore'), '1')
      },
    )
  }
}

withSystemd(
  'a stored socket whose address is no longer asked for is closed, and forgotten',
  async (t, systemd, scene) => {
    const ports = [await freePort(), await freePort()] as const
    scene.write('port', String(ports[0]))
    await systemd.service('web', serving(scene, `'127.0.0.1:' + fs.readFileSync(here + '/port', 'utf8')`), {
      ...storing(scene),
      ExecStartPre: [],
    })
    await systemd.systemctl('start', 'web')
    t.regex(await answerOf(ports[0]), /^HTTP/)
    scene.write('port', String(ports[1]))
    await systemd.systemctl('restart', 'web')
    t.regex(await answerOf(ports[1]), /^HTTP/)
    await t.throwsAsync(answerOf(ports[0]), { code: 'ECONNREFUSED' })
    await systemd.shows('web', 'NFileDescriptorStore', '1')
  },
)
