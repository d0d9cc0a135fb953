// examples/tls-server: a key that is made once and never lost, read by root, served by nobody.
import { execFileSync, spawnSync } from 'node:child_process'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { request } from 'node:https'
import { createServer } from 'node:net'
import { text } from 'node:stream/consumers'
import type { TLSSocket } from 'node:tls'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { status, stop } from 'daemonic'
import { type Result, Scene } from './support/scene.js'

const SERVER = fileURLToPath(new URL('../examples/tls-server/server.js', import.meta.url))
const isRoot = process.getuid?.() === 0
const hasOpenssl = spawnSync('openssl', ['version']).status === 0
// Only root can give a key away and become somebody else; openssl(1) makes the certificate.
const asRoot = isRoot && hasOpenssl ? test : test.skip
if (!isRoot) console.error('tls-server: tests skipped: not root')
else if (!hasOpenssl) console.error('tls-server: tests skipped: there is no openssl')

const FIRST_UNPRIVILEGED = 1024
const KEY = /^-----BEGIN PRIVATE KEY-----\n[\s\S]+\n-----END PRIVATE KEY-----\n$/

asRoot('it makes a key that only its user can read, and serves as that user on a low port with it', async t => {
  const scene = new Scene(t)
  const port = await lowPort()
  const { address, stderr } = await started(scene, port)
  const [path, backup] = [scene.path('key.pem'), scene.path('backup.pem')]
  t.is(stderr, `tls-server: no key yet: made one, in ${path} and ${backup}\n`, 'once, though it runs twice')
  if (port === 0) t.log('this host has no free port below 1024 for us: any other was taken')
  const key = scene.read('key.pem')
  t.regex(key, KEY)
  t.is(scene.read('backup.pem'), key)
  for (const name of ['key.pem', 'backup.pem']) t.like(statSync(scene.path(name)), { mode: 0o100400, ...nobody() })
  t.deepEqual(
    scene.files().filter(name => name.includes('.pem')),
    ['backup.pem', 'key.pem'],
    'no draft is left',
  )

  const { pid } = await status(scene.path('d.pid'))
  const { body, certificate } = await get(address)
  t.is(body, `Hello from process ${pid}, user ${nobody().uid}\n`)
  t.true(certificate.checkPrivateKey(createPrivateKey(key)))
  t.true(certificate.verify(certificate.publicKey))

  const { uid, gid } = nobody()
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const facts = readFileSync(`/proc/${pid}/task/${thread}/status`, 'utf8')
    t.regex(facts, new RegExp(`^Uid:(\\t${uid}){4}$`, 'm'))
    t.regex(facts, new RegExp(`^Gid:(\\t${gid}){4}$`, 'm'))
    t.regex(facts, new RegExp(`^Groups:\\t${gid} *$`, 'm'))
    t.regex(facts, /^NoNewPrivs:\t1$/m)
  }
  t.like(await stop(scene.path('d.pid')), { pid, wasRunning: true, forced: false })
})

asRoot('a second start finds both files and changes neither', async t => {
  const scene = new Scene(t)
  await started(scene)
  const before = keys(scene)
  await stop(scene.path('d.pid'))
  const { address, stderr } = await started(scene)
  t.is(stderr, '')
  t.deepEqual(keys(scene), before)
  t.true((await get(address)).certificate.checkPrivateKey(createPrivateKey(scene.read('key.pem'))))
})

for (const [lost, kept] of [
  ['key.pem', 'backup.pem'],
  ['backup.pem', 'key.pem'],
] as const) {
  asRoot(`if ${lost} is lost, it is copied from ${kept}, which stays as it is`, async t => {
    const scene = new Scene(t)
    const old = scene.write(kept, execFileSync('openssl', ['genpkey', '-algorithm', 'ed25519'], { encoding: 'utf8' }))
    const before = fingerprint(old)
    const { stderr } = await started(scene)
    t.is(stderr, `tls-server: ${scene.path(lost)} was lost: restored it from ${scene.path(kept)}\n`)
    t.deepEqual(fingerprint(old), before)
    t.is(scene.read(lost), scene.read(kept))
    t.like(statSync(scene.path(lost)), { mode: 0o100400, ...nobody() })
  })
}

asRoot('files with different keys are both left as they are, and it does not start', async t => {
  const scene = new Scene(t)
  scene.write('key.pem', 'one')
  scene.write('backup.pem', 'other')
  const before = keys(scene)
  const { code, stderr } = await start(scene)
  t.is(code, 1)
  t.is(
    stderr,
    `tls-server: ${scene.path('key.pem')} and ${scene.path('backup.pem')} hold different keys: move the wrong one away\n`,
  )
  t.deepEqual(keys(scene), before)
  t.deepEqual(scene.files(), ['backup.pem', 'key.pem'])
})

asRoot('a symbolic link in place of the key is not followed', async t => {
  const scene = new Scene(t)
  const target = scene.write('other', 'not a key')
  execFileSync('ln', ['-s', target, scene.path('key.pem')])
  const { code, stderr } = await start(scene)
  t.is(code, 1)
  t.regex(stderr, /^tls-server: cannot read the key .*key\.pem: ELOOP/)
  t.deepEqual(scene.files(), ['key.pem', 'other'])
})

asRoot('without openssl, or for a user that does not exist, it says so', async t => {
  const scene = new Scene(t)
  const bin = scene.path('bin')
  execFileSync('mkdir', [bin])
  execFileSync('ln', ['-s', execFileSync('which', ['id'], { encoding: 'utf8' }).trim(), `${bin}/id`])
  const bare = await start(scene, { PATH: bin })
  t.is(bare.code, 1)
  t.regex(bare.stderr, /^tls-server: no key yet: .*\ntls-server: the openssl command, which .*, is not installed\n$/)
  const unknown = await start(scene, { TLS_USER: 'no-such-user' })
  t.is(unknown.code, 1)
  t.is(unknown.stderr, 'tls-server: there is no user no-such-user\n')
})

test('a path that is not set is named, and the exit code is 2', async t => {
  const scene = new Scene(t)
  for (const name of ['TLS_KEY', 'TLS_KEY_BACKUP']) {
    for (const value of [undefined, '']) {
      const { code, stdout, stderr } = await start(scene, { [name]: value })
      t.is(code, 2)
      t.is(stderr, `tls-server: set ${name} to the path of a file for the private key\n`)
      t.is(stdout, '')
    }
  }
  t.deepEqual(scene.files(), [])
})

function start(scene: Scene, env: Record<string, string | undefined> = {}, port = 0): Promise<Result> {
  const paths = { TLS_KEY: 'key.pem', TLS_KEY_BACKUP: 'backup.pem', LOG: 'd.log', PID_FILE: 'd.pid' }
  const absolute = Object.fromEntries(Object.entries(paths).map(([name, file]) => [name, scene.path(file)]))
  return scene.node(SERVER, { env: { ...absolute, LISTEN: `127.0.0.1:${port}`, ...env } })
}

/** Gives the address on which it serves, and what the start said. */
async function started(scene: Scene, port = 0): Promise<{ address: string; stderr: string }> {
  const { code, stderr } = await start(scene, {}, port)
  if (code !== 0) throw new Error(`the launcher ended with ${code}: ${stderr}`)
  const { addresses } = await status(scene.path('d.pid'))
  return { address: addresses.https ?? '', stderr }
}

/** A free port that only root may bind; 0 where there is none. */
async function lowPort(): Promise<number> {
  for (let port = FIRST_UNPRIVILEGED - 1; port > FIRST_UNPRIVILEGED - 100; port--) {
    const server = createServer().listen(port, '127.0.0.1')
    const isFree = await once(server, 'listening').then(
      () => true,
      () => false,
    )
    if (isFree) {
      await once(server.close(), 'close')
      return port
    }
  }
  return 0
}

async function get(address: string): Promise<{ body: string; certificate: X509Certificate }> {
  const asked = request(`https://${address}/`, { rejectUnauthorized: false, agent: false }).end()
  const [response] = await once(asked, 'response')
  const certificate = (response.socket as TLSSocket).getPeerX509Certificate()
  if (!certificate) throw new Error('the server showed no certificate')
  return { body: await text(response), certificate: new X509Certificate(certificate.raw) }
}

function nobody(): { uid: number; gid: number } {
  const id = (flag: string) => Number(execFileSync('id', [flag, 'nobody'], { encoding: 'utf8' }))
  return { uid: id('-u'), gid: id('-g') }
}

/** What would show that a file was written or exchanged. */
function fingerprint(path: string): object {
  const { ino, mode, uid, gid, mtimeMs } = statSync(path)
  return { content: readFileSync(path, 'utf8'), ino, mode, uid, gid, mtimeMs }
}

function keys(scene: Scene): object[] {
  return ['key.pem', 'backup.pem'].map(name => fingerprint(scene.path(name)))
}
