// Files that are no pid files, and texts that are no pids: nothing is followed, written or signalled.
import { execFileSync, spawnSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import test, { type ExecutionContext } from 'ava'
import { type DaemonError, PidLock, signal, stop } from 'daemonic'
import { asRoot, bystander, NOBODY, owner } from './support/locks.js'
import { generator } from './support/random.js'
import { Scene } from './support/scene.js'

const withDevices = makesDevices() ? test : test.skip // mknod(2) is root's, and needs a file system that allows it

/** Bytes that a pid file's text may begin with and a pid can't. */
const LONG = `4242\n${'x'.repeat(100_000)}`
/** How many texts the property is tried on; the same ones each time. */
const TEXTS = 300
const SEED = 20_261_121

type Outcome = { code: string | undefined; wasRunning?: boolean }

/** What stop() and signal() come to: an error's code, or that nothing ran. */
async function control(path: string): Promise<{ stop: Outcome; signal: Outcome }> {
  const outcome = (promise: Promise<unknown>): Promise<Outcome> =>
    promise.then(
      result => ({ code: undefined, ...(result as object) }),
      error => ({ code: (error as DaemonError).code ?? String(error) }),
    )
  return { signal: await outcome(signal(path, 'SIGTERM')), stop: await outcome(stop(path, { timeout: 100 })) }
}

/** Everything that refuses or finds nothing leaves what the path names as it was. */
async function isRefused(t: ExecutionContext, path: string, code: string | RegExp): Promise<void> {
  const facts = () => {
    const { ino, mode, uid, nlink, size, mtimeMs } = lstatSync(path)
    return { ino, mode, uid, nlink, size, mtimeMs }
  }
  const before = facts()
  const expected = { code: code as string }
  t.throws(() => PidLock.acquire(path), expected)
  await t.throwsAsync(PidLock.wait(path, { timeout: 1_000 }), expected)
  t.deepEqual(facts(), before)
  try {
    const { state, verified } = PidLock.inspect(path)
    t.deepEqual({ state, verified }, { state: 'free', verified: false })
  } catch (error) {
    t.regex((error as DaemonError).code, /^(ELOOP|EACCES)$/)
  }
  t.deepEqual(facts(), before)
}

test('a symbolic link is not followed', async t => {
  const scene = new Scene(t)
  const victim = bystander(scene)
  const target = scene.write('target', `${victim.pid}\n`)
  symlinkSync(target, scene.path('d.pid'))
  await isRefused(t, scene.path('d.pid'), 'ELOOP')
  const { stop, signal } = await control(scene.path('d.pid'))
  t.deepEqual([stop.code, signal.code], ['ELOOP', 'ELOOP'])
  t.true(lstatSync(scene.path('d.pid')).isSymbolicLink())
  symlinkSync(scene.path('missing'), scene.path('dangling.pid'))
  await isRefused(t, scene.path('dangling.pid'), 'ELOOP')
  t.false(scene.exists('missing'))
  t.is(scene.read('target'), `${victim.pid}\n`)
  t.true(await victim.lives())
})

test('a fifo is refused without waiting for its other end', async t => {
  const scene = new Scene(t)
  execFileSync('mkfifo', [scene.path('d.pid')])
  await isRefused(t, scene.path('d.pid'), 'EINVAL')
  t.false((await control(scene.path('d.pid'))).stop.wasRunning)
  t.true(lstatSync(scene.path('d.pid')).isFIFO())
})

test('a directory is refused', async t => {
  const scene = new Scene(t)
  mkdirSync(scene.path('d.pid'))
  await isRefused(t, scene.path('d.pid'), 'EISDIR')
  await control(scene.path('d.pid'))
  t.true(lstatSync(scene.path('d.pid')).isDirectory())
})

withDevices('a device is refused', async t => {
  const scene = new Scene(t)
  execFileSync('mknod', [scene.path('d.pid'), 'c', '1', '3'])
  await isRefused(t, scene.path('d.pid'), 'EINVAL')
  t.false((await control(scene.path('d.pid'))).stop.wasRunning)
  t.true(lstatSync(scene.path('d.pid')).isCharacterDevice())
})

test('a file that has another name is refused, and keeps both', async t => {
  const scene = new Scene(t)
  const precious = scene.write('precious', 'precious')
  linkSync(precious, scene.path('d.pid'))
  await isRefused(t, scene.path('d.pid'), 'EMLINK')
  t.false((await control(scene.path('d.pid'))).stop.wasRunning)
  t.is(scene.read('precious'), 'precious')
  t.is(scene.read('d.pid'), 'precious')
})

asRoot('a file of another user is refused where anyone can put files', async t => {
  const scene = new Scene(t)
  for (const mode of [0o1777, 0o777]) {
    chmodSync(scene.directory, mode)
    scene.write('d.pid', 'planted')
    chownSync(scene.path('d.pid'), NOBODY, NOBODY)
    await isRefused(t, scene.path('d.pid'), 'EACCES')
    t.is(scene.read('d.pid'), 'planted')
  }
})

const TEXTS_OF_NO_PID: Record<string, string> = {
  'of 100 KB': LONG,
  'of NULs': '\0'.repeat(64),
  'with a NUL behind a pid': '4242\0\n',
  'that is empty': '',
  'that is zero': '0\n',
  'that is -1': '-1\n',
  'that is negative': '-4242\n',
  'of two numbers': '4242 4243\n',
  'of two lines': '4242\n4243\n',
  'beyond 32 bits': '4294967297\n',
  'beyond 64 bits': '18446744073709551617\n',
  'with a sign': '+4242\n',
  'that is hexadecimal': '0x1092\n',
  'with spaces': ' 4242 \n',
}

for (const [what, text] of Object.entries(TEXTS_OF_NO_PID)) {
  test(`a text ${what} names nobody, and a new owner’s replaces it`, async t => {
    const scene = new Scene(t)
    scene.write('d.pid', text)
    t.deepEqual(PidLock.inspect(scene.path('d.pid')), { state: 'free', pid: null, verified: false })
    t.is(scene.read('d.pid'), text)
    const { stop, signal } = await control(scene.path('d.pid'))
    t.like(stop, { pid: null, wasRunning: false })
    t.is(signal.code, 'ERR_DAEMON_NOT_RUNNING')
    const child = await owner(scene)
    t.is(scene.read('d.pid'), `${child.pid}\n`)
  })
}

test('stop removes no file whose text is not a pid file’s', async t => {
  const scene = new Scene(t)
  for (const text of [LONG, 'precious\n', '[Service]\nExecStart=/bin/true\n']) {
    scene.write('precious.conf', text)
    await control(scene.path('precious.conf'))
    t.true(scene.exists('precious.conf'))
    t.is(scene.read('precious.conf'), text)
  }
})

test('a pid that is alive in a file that nobody locks comes to no harm, whosoever it is', async t => {
  const scene = new Scene(t)
  const victim = bystander(scene)
  const beyond = Number(readFileSync('/proc/sys/kernel/pid_max', 'utf8')) + 1
  for (const pid of [victim.pid, process.pid, process.ppid, 1, beyond]) {
    scene.write('d.pid', `${pid}\n`)
    t.deepEqual(PidLock.inspect(scene.path('d.pid')), { state: 'free', pid, verified: false })
    const { stop, signal } = await control(scene.path('d.pid'))
    t.is(signal.code, 'ERR_DAEMON_NOT_RUNNING')
    if (pid === beyond) t.like(stop, { pid: null, wasRunning: false, forced: false })
    else t.is(stop.code, 'ERR_DAEMON_UNVERIFIED')
    t.is(scene.exists('d.pid'), pid !== beyond)
  }
  t.true(await victim.lives())
})

test('no bytes make inspect fail, or name a pid that they are not', t => {
  const scene = new Scene(t)
  const random = generator(SEED)
  for (let round = 0; round < TEXTS; round++) {
    const bytes = randomText(random)
    writeFileSync(scene.path('d.pid'), bytes)
    const text = bytes.toString('latin1')
    const number = /^[1-9]\d*\n?$/.test(text) ? Number(text) : Number.NaN
    const pid = number < 2 ** 31 ? number : null
    t.deepEqual(PidLock.inspect(scene.path('d.pid')), { state: 'free', pid, verified: false }, JSON.stringify(text))
    t.true(readFileSync(scene.path('d.pid')).equals(bytes))
    rmSync(scene.path('d.pid'))
  }
})

function makesDevices(): boolean {
  const path = `/tmp/daemonic-test-device-${process.pid}`
  if (spawnSync('mknod', [path, 'c', '1', '3']).status !== 0) return false
  try {
    openSync(path, 'r')
    return true
  } catch {
    return false
  } finally {
    rmSync(path)
  }
}

/** Any bytes, or ones that pids are made of and some others, or a pid. */
function randomText(random: () => number): Buffer {
  const below = (limit: number) => Math.floor(random() * limit)
  const alphabet = '0123456789\n\0 -+x'
  const kind = below(3)
  if (kind === 0) return Buffer.from(Array.from({ length: below(64) }, () => below(256)))
  if (kind === 1)
    return Buffer.from(Array.from({ length: below(14) }, () => alphabet.charCodeAt(below(alphabet.length))))
  return Buffer.from(`${below(10 ** below(13))}${['', '\n', '\n\n', ' ', '\0'][below(5)]}`)
}
