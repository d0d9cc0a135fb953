// Links that somebody who may write to a directory puts there: root is led nowhere by them.
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { PidLock } from 'daemonic'
import { cli, place, started } from './support/cli.js'
import { ofAllThreads } from './support/identity.js'
import { launched } from './support/launching.js'
import { asRoot, NOBODY } from './support/locks.js'
import { LIBRARY } from './support/program.js'
import { Scene, script } from './support/scene.js'

/** The group that reads logs on Debian, of which nobody is no member. */
const ADM = 4
const hasStrace = spawnSync('strace', ['-V']).status === 0
/** How long a launcher is held up after bind(2), in microseconds. */
const WINDOW = 2_000_000

/** An application's directory, which its own user may write to, and one that is root's alone. */
function deployed(scene: Scene): { logs: string; victim: string } {
  chmodSync(scene.directory, 0o755)
  mkdirSync(scene.path('app'))
  mkdirSync(scene.path('app/logs'))
  mkdirSync(scene.path('victim'))
  for (const each of ['app', 'app/logs']) chownSync(scene.path(each), NOBODY, NOBODY)
  return { logs: scene.path('app/logs'), victim: scene.path('victim') }
}

/** What the user does to the application's logs. */
function linkToVictim(scene: Scene): void {
  renameSync(scene.path('app/logs'), scene.path('app/old'))
  symlinkSync(scene.path('victim'), scene.path('app/logs'))
}

asRoot('a log is not reopened through a link in a directory above it', async t => {
  const scene = new Scene(t)
  const { logs, victim } = deployed(scene)
  await started(scene, 'web', ['--user', 'nobody', '--log', `${logs}/web.log`])
  linkToVictim(scene)
  await cli(scene, ['reopen', 'web'])
  await scene.until('it was tried', () => scene.read('app/old/web.log').includes('goes on being used'))
  t.false(existsSync(`${victim}/web.log`))
  t.regex(scene.read('app/old/web.log'), /web\.log: Permission denied; the old file/)
})

asRoot('a log is not created by root through a link in a directory above it', async t => {
  const scene = new Scene(t)
  const { logs, victim } = deployed(scene)
  linkToVictim(scene)
  const script = place(scene, 'server', 'web.mjs')
  for (const user of [[], ['--user', 'nobody']]) {
    const { code, stderr } = await cli(scene, ['start', ...user, '--log', `${logs}/web.log`, script])
    t.is(code, 1)
    t.regex(stderr, user.length > 0 ? /web\.log .*EACCES/ : /web\.log .*ELOOP.*a directory on the way is a link/)
    t.false(existsSync(`${victim}/web.log`))
  }
})

asRoot(
  'neither pid file, state file nor sockets are made by root through a link in a directory above them',
  async t => {
    const scene = new Scene(t)
    const { logs, victim } = deployed(scene)
    linkToVictim(scene)
    const script = place(scene, 'server', 'web.mjs')
    for (const option of [
      ['--pid-file', `${logs}/web.pid`],
      ['--listen', `${logs}/web.socket`],
    ]) {
      const { code, stderr } = await cli(scene, ['start', ...option, script])
      t.is(code, 1)
      t.regex(stderr, /\/app\/logs\/web\..* ELOOP.*a directory on the way is a link/)
    }
    t.throws(() => PidLock.acquire(`${logs}/own.pid`), { code: 'ELOOP' })
    await t.throwsAsync(PidLock.wait(`${logs}/own.pid`), { code: 'ELOOP' })
    t.deepEqual(readdirSync(victim), [])
    renameSync(scene.path('app/logs'), scene.path('app/link'))
    renameSync(scene.path('app/old'), logs)
    await started(scene, 'web', [
      '--pid-file',
      `${logs}/web.pid`,
      '--listen',
      `${logs}/web.socket`,
      '--ready',
      'loaded',
    ])
  },
)

asRoot('links of the daemon’s own user lead to its logs, and so do root’s', async t => {
  const scene = new Scene(t)
  const { logs } = deployed(scene)
  symlinkSync('logs', scene.path('app/log'))
  await started(scene, 'web', ['--user', 'nobody', '--log', scene.path('app/log/web.log')])
  t.is(statSync(`${logs}/web.log`).uid, NOBODY)
  symlinkSync('victim', scene.path('log'))
  await started(scene, 'own', ['--log', scene.path('log/own.log')])
  t.is(statSync(scene.path('victim/own.log')).uid, 0)
  await started(scene, 'given', ['--user', 'nobody', '--log', scene.path('log/given.log')])
  t.is(statSync(scene.path('victim/given.log')).uid, NOBODY)
})

asRoot(
  'a log in a directory of root’s inside of one that the user can write is opened with the user’s rights',
  async t => {
    const scene = new Scene(t)
    deployed(scene)
    mkdirSync(scene.path('app/roots'))
    const script = place(scene, 'server', 'web.mjs')
    const { code, stderr } = await cli(scene, [
      'start',
      '--user',
      'nobody',
      '--log',
      scene.path('app/roots/d.log'),
      script,
    ])
    t.is(code, 1)
    t.regex(stderr, /roots\/d\.log .*EACCES/)
  },
)

asRoot('so it is with those of the user’s groups', async t => {
  const scene = new Scene(t)
  deployed(scene)
  chownSync(scene.path('victim'), 0, ADM)
  chmodSync(scene.path('victim'), 0o775)
  await started(scene, 'web', ['--user', 'nobody', '--groups', String(ADM), '--log', scene.path('victim/web.log')])
  t.is(statSync(scene.path('victim/web.log')).uid, NOBODY)
})

asRoot('a user that only the call names has the logs that are opened after it', async t => {
  const scene = new Scene(t)
  const { logs } = deployed(scene)
  const script = scene.write(
    'web.mjs',
    `import { daemonize } from '${LIBRARY}'\ndaemonize({ user: 'nobody' })\nsetInterval(() => {}, 1_000)\n`,
  )
  const { code, stderr } = await cli(scene, ['start', '--log', `${logs}/web.log`, script])
  t.is(code, 0, stderr)
  t.is(statSync(`${logs}/web.log`).uid, 0)
  renameSync(`${logs}/web.log`, `${logs}/web.log.1`)
  t.is((await cli(scene, ['reopen', 'web'])).code, 0)
  t.is(statSync(`${logs}/web.log`).uid, NOBODY)
})

asRoot('standard input is not read through a link in a directory above it, but with the user’s rights', async t => {
  const scene = new Scene(t)
  const { logs, victim } = deployed(scene)
  chmodSync(victim, 0o700)
  writeFileSync(`${victim}/web.in`, 'root’s')
  linkToVictim(scene)
  const script = place(scene, 'server', 'web.mjs')
  for (const user of [[], ['--user', 'nobody']]) {
    const { code, stderr } = await cli(scene, ['start', ...user, '--stdin', `${logs}/web.in`, script])
    t.is(code, 1)
    t.regex(stderr, user.length > 0 ? /web\.in.*EACCES/ : /web\.in.*ELOOP/)
  }
})

asRoot('root’s daemon doesn’t write to a log of somebody else in a directory that is open to all', async t => {
  const scene = new Scene(t)
  mkdirSync(scene.path('open'))
  chmodSync(scene.path('open'), 0o777)
  writeFileSync(scene.path('open/web.log'), '')
  chownSync(scene.path('open/web.log'), NOBODY, NOBODY)
  const script = place(scene, 'server', 'web.mjs')
  const { code, stderr } = await cli(scene, ['start', '--log', scene.path('open/web.log'), script])
  t.is(code, 1)
  t.regex(stderr, /web\.log .*EACCES.*it belongs to another user, in a directory where anyone can put files/)
  t.is(scene.read('open/web.log'), '')
})

asRoot('the mode of a socket is not set on what somebody puts in its place', async t => {
  if (!hasStrace) {
    t.pass('skipped: strace holds the launcher up')
    return
  }
  const scene = new Scene(t)
  deployed(scene)
  chmodSync(scene.write('secret', 'root’s'), 0o600)
  const socket = scene.path('app/d.sock')
  const attacker = scene.spawn('python3', [script('swaps-a-socket.py'), socket, scene.path('secret')], {
    uid: NOBODY,
    gid: NOBODY,
  })
  await scene.until('it is ready', () => existsSync(`${socket}.link`) || attacker.exitCode)
  const slowly = ['-f', '-qq', '-o', '/dev/null', '-e', 'trace=bind', '-e', `inject=bind:delay_exit=${WINDOW}`]
  const path = scene.write(
    'listens.mjs',
    `import { launch } from ${JSON.stringify(import.meta.resolve('daemonic'))}
await launch(${JSON.stringify(launched('servesLines')[0])}, ${JSON.stringify({
      name: 'd',
      args: launched('servesLines').slice(1),
      pidFile: './d.pid',
      listen: { it: { path: socket, mode: 0o666 } },
      startTimeout: 10_000,
    })}).catch(error => console.error(error))\n`,
  )
  const begin = performance.now()
  const { stderr } = await scene.run('strace', [...slowly, process.execPath, path])
  t.true(performance.now() - begin > WINDOW / 1_000, stderr) // it was held up after bind(2)
  t.is(statSync(scene.path('secret')).mode & 0o777, 0o600)
})

asRoot('no inheritable capability survives a change of user, in any thread', async t => {
  const scene = new Scene(t)
  scene.giveTo(NOBODY)
  const script = place(scene, 'becomes-a-daemon', 'd.mjs')
  const program = scene.write(
    'drops.mjs',
    `import { daemonize } from ${JSON.stringify(import.meta.resolve('daemonic'))}
daemonize({ user: 'nobody', pidFile: './d.pid', name: 'd' })
setInterval(() => {}, 1_000)\n`,
  )
  t.truthy(script)
  const { code, stderr } = await scene.run('setpriv', ['--inh-caps', '+chown,+kill', process.execPath, program])
  t.is(code, 0, stderr)
  const pid = Number(scene.read('d.pid'))
  const sets = ofAllThreads(pid, 'CapInh', 'CapPrm', 'CapEff', 'CapAmb')
  for (const each of sets) t.deepEqual(each, ['0000000000000000'])
})

asRoot('where securebits would keep capabilities, no user is changed', async t => {
  const scene = new Scene(t)
  scene.giveTo(NOBODY)
  const program = scene.write(
    'drops.mjs',
    `import { daemonize } from ${JSON.stringify(import.meta.resolve('daemonic'))}
daemonize({ user: 'nobody', pidFile: './d.pid', name: 'd' })
setInterval(() => {}, 1_000)\n`,
  )
  const bits = ['--securebits', '+no_setuid_fixup']
  const { code, stderr } = await scene.run('setpriv', [...bits, process.execPath, program])
  t.is(code, 1)
  t.regex(stderr, /cannot take the user.*EPERM/)
})
