// What a daemon behind a new root or of another user leaves, opens and ends like.
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  lchownSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
} from 'node:fs'
import { PidLock, processInfo } from 'daemonic'
import { identity, ofAllThreads, STRANGER, start, withEverything } from './support/identity.js'
import { asRoot, NOBODY } from './support/locks.js'
import { refused } from './support/refused.js'
import { finished, Scene } from './support/scene.js'

// ── Another root ─────────────────────────────────────────────────────────────────────────

/** A new root that the user owns, with a directory. */
function newRoot(scene: Scene): string {
  mkdirSync(scene.path('root/inner'), { recursive: true })
  chownSync(scene.path('root'), NOBODY, NOBODY)
  return scene.path('root')
}

for (const [what, chdir, cwd] of [
  ['/', undefined, ''],
  ['an absolute directory', '/inner', '/inner'],
  ['a relative directory', 'inner', '/inner'],
  ['no directory', false, ''],
] as const) {
  asRoot(
    `behind a chroot with ${what}, root and working directory are inside, and no descriptor leads out`,
    async t => {
      const scene = new Scene(t)
      const root = newRoot(scene)
      const pid = await start(
        scene,
        { chroot: root, user: 'nobody', log: './d.log', ...(chdir !== undefined && { chdir }) },
        'writesItsDirectory',
      )
      await scene.until('it has told', () => scene.exists('root/told'))
      t.is(readlinkSync(`/proc/${pid}/root`), root)
      t.is(readlinkSync(`/proc/${pid}/cwd`), root + cwd)
      t.is(scene.read('root/told'), cwd || '/')
      const isDirectory = (fd: string) => statSync(`/proc/${pid}/fd/${fd}`).isDirectory()
      t.deepEqual(readdirSync(`/proc/${pid}/fd`).filter(isDirectory), [])
      t.deepEqual(ofAllThreads(pid, 'Uid'), [[Array(4).fill(NOBODY).join('\t')]])
    },
  )
}

asRoot('a directory that the new root does not have is refused by name', async t => {
  const scene = new Scene(t)
  const says = /cannot change to the directory \/etc: ENOENT/
  await refused(t, scene, withEverything({ chroot: newRoot(scene), chdir: '/etc' }), { says })
})

for (const [what, options] of [
  ['a chroot', (scene: Scene) => ({ chroot: newRoot(scene) })],
  ['a chroot and another user', (scene: Scene) => ({ chroot: newRoot(scene), user: 'nobody' })],
  ['another user', () => ({ user: 'nobody' })],
] as const) {
  asRoot(`a daemon behind ${what} stops with 0, and leaves its pid file empty: free, for the next start`, async t => {
    const scene = new Scene(t)
    const socket = { listen: { web: './d.sock' }, log: './d.log', ready: 'loaded' } as const
    const pid = await start(scene, { ...options(scene), ...socket }, 'tellsItsExitCode')
    process.kill(pid, 'SIGTERM')
    await scene.empty()
    t.regex(scene.read('d.log'), /stopping on SIGTERM\nexit 0\n$/)
    t.is(scene.read('d.pid'), '')
    t.like(PidLock.inspect(scene.path('d.pid')), { state: 'free', pid: null })
    const next = await start(scene, { ...options(scene), ...socket }, 'tellsItsExitCode')
    t.like(PidLock.inspect(scene.path('d.pid')), { state: 'running', pid: next })
  })
}

// ── Logs ─────────────────────────────────────────────────────────────────────────────────

asRoot('a log that is created belongs to the user, and others can’t read it', async t => {
  const scene = new Scene(t)
  await start(scene, { user: 'nobody', group: 'daemon', log: './d.log' })
  const { uid, gid, mode } = statSync(scene.path('d.log'))
  t.deepEqual([uid, gid, (mode & 0o7777).toString(8)], [NOBODY, 1, '640'])
})

const PLANTED: Record<string, (scene: Scene, log: string) => void> = {
  'a symbolic link': (scene, log) => {
    symlinkSync(scene.path('secret'), log)
    lchownSync(log, STRANGER, STRANGER)
  },
  'a hard link': (scene, log) => linkSync(scene.path('secret'), log),
  'root’s own file': (scene, log) => execFileSync('cp', ['-p', scene.path('secret'), log]),
}
const DIRECTORIES: Record<string, (path: string) => void> = {
  'anybody may write to': path => chmodSync(path, 0o1777),
  'the user owns': path => chownSync(path, NOBODY, NOBODY),
}

for (const [what, plant] of Object.entries(PLANTED)) {
  for (const [where, open] of Object.entries(DIRECTORIES)) {
    asRoot(`a log that is ${what} in a directory that ${where} is not written to`, async t => {
      const scene = new Scene(t)
      chmodSync(scene.directory, 0o711)
      chmodSync(scene.write('secret', 'root’s'), 0o600)
      mkdirSync(scene.path('logs'))
      open(scene.path('logs'))
      plant(scene, scene.path('logs/d.log'))
      const log = { path: scene.path('logs/d.log'), truncate: true }
      await refused(t, scene, withEverything({ user: 'nobody', log }), { says: /cannot open the log .*\/logs\/d\.log/ })
      t.is(scene.read('secret'), 'root’s')
      if (what !== 'a symbolic link') t.is(scene.read('logs/d.log'), 'root’s') // the kernel follows it for nobody
    })
  }
}

// ── Ends ─────────────────────────────────────────────────────────────────────────────────

asRoot('a daemon that is somebody else ends with the process between, as long as it is not ready', async t => {
  const scene = new Scene(t)
  const launcher = scene.spawnNode(identity('stays', { name: 'dropped', user: 'nobody', ready: 'manual' }))
  const end = finished(launcher)
  const pid = await scene.until('it has dropped', () => {
    const { pid } = PidLock.inspect(scene.path('d.pid'))
    return pid !== null && ofAllThreads(pid, 'Uid')[0]?.[0]?.startsWith(`${NOBODY}`) && pid
  })
  // Not dumpable any more: the last step but the directory.
  await scene.until('its title is set', () => readFileSync(`/proc/${pid}/cmdline`, 'utf8').startsWith('dropped\0'))
  process.kill(processInfo(pid).ppid, 'SIGKILL')
  const { code, stderr } = await end
  t.is(code, 1)
  t.regex(stderr, /the process between launcher and daemon was killed, and the daemon with it/)
  await scene.empty()
  t.false(scene.exists('d.pid'))
})

/** Whether the kernel would dump it: else its files in /proc are root's, proc(5). */
const isDumpable = (pid: number) => statSync(`/proc/${pid}/environ`).uid === NOBODY

asRoot('after a change of ids there are no core dumps', async t => {
  const scene = new Scene(t)
  scene.giveTo(NOBODY)
  const pid = await start(scene, { user: 'nobody', chdir: scene.directory })
  t.regex(readFileSync(`/proc/${pid}/limits`, 'utf8'), /^Max core file size\s+0\s+0\s/m)
  t.false(isDumpable(pid))
  process.kill(pid, 'SIGSEGV')
  await scene.empty()
  t.deepEqual(
    scene.files().filter(file => file.startsWith('core')),
    [],
  )
})

asRoot('but where they were asked for: a crash leaves a core', async t => {
  const pattern = readFileSync('/proc/sys/kernel/core_pattern', 'utf8').trim()
  const [, hard] = /^Max core file size\s+\S+\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? []
  if (/[|/%]/.test(pattern) || hard !== 'unlimited') {
    t.pass(`skipped: core dumps go elsewhere or are limited here (core_pattern is ${pattern}, the hard limit ${hard})`)
    return
  }
  const scene = new Scene(t)
  scene.giveTo(NOBODY)
  const pid = await start(scene, { user: 'nobody', chdir: scene.directory, limits: { core: 'unlimited' } })
  t.true(isDumpable(pid))
  process.kill(pid, 'SIGSEGV')
  await scene.empty()
  const core = scene.files().find(file => file.startsWith(pattern))
  t.truthy(core)
  t.is(statSync(scene.path(core ?? '')).uid, NOBODY)
})
