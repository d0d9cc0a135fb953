// Who a daemon is and what it sees as its root: every thread, for good, and nothing of the caller's.
import { execFileSync } from 'node:child_process'
import { chmodSync, chownSync, copyFileSync, readdirSync, readFileSync } from 'node:fs'
import { inspect } from 'node:util'
import type { DaemonizeOptions } from 'daemonic'
import type { Programs as Launchers } from './fixtures/launchers.js'
import { identity, idOf, ofAllThreads, STRANGER, sociable, sorted, start, withEverything } from './support/identity.js'
import { asRoot, NOBODY } from './support/locks.js'
import { refused } from './support/refused.js'
import { programs, Scene } from './support/scene.js'

const launchers = programs<Launchers>('launchers')

// ── Ids ──────────────────────────────────────────────────────────────────────────────────

const IDENTITIES: Record<string, () => { options: DaemonizeOptions; uid: number; gid: number; groups: string }> = {
  'a user’s name': () => {
    const name = sociable()
    const uid = Number(execFileSync('id', ['-u', name], { encoding: 'utf8' }))
    return { options: { user: name }, uid, gid: Number(idOf('-g', name)), groups: sorted(idOf('-G', name)) }
  },
  'a user’s id': () => ({
    options: { user: NOBODY },
    uid: NOBODY,
    gid: Number(idOf('-g', 'nobody')),
    groups: sorted(idOf('-G', 'nobody')),
  }),
  'the digits of an id': () => ({ options: { user: `${NOBODY}`, group: '1' }, uid: NOBODY, gid: 1, groups: '1' }),
  'a user and a group by name': () => ({
    options: { user: 'nobody', group: 'daemon' },
    uid: NOBODY,
    gid: 1,
    groups: '1',
  }),
  'groups, some of them twice': () => ({
    options: { user: 'nobody', group: NOBODY, groups: [3, 'daemon', 1, '1', 'bin', 2, 2] },
    uid: NOBODY,
    gid: NOBODY,
    groups: '1 2 3',
  }),
  'no groups': () => ({ options: { user: 'nobody', group: 'daemon', groups: [] }, uid: NOBODY, gid: 1, groups: '' }),
  'ids that have no account': () => ({
    options: { user: STRANGER, group: STRANGER + 1 },
    uid: STRANGER,
    gid: STRANGER + 1,
    groups: `${STRANGER + 1}`,
  }),
  'the id 0': () => ({ options: { user: 0, group: 0, groups: [0] }, uid: 0, gid: 0, groups: '0' }),
  'a group alone': () => ({ options: { group: 'daemon', groups: [] }, uid: 0, gid: 1, groups: '' }),
}

for (const [what, made] of Object.entries(IDENTITIES)) {
  asRoot(`${what} gives every thread these ids and groups, and none of the caller’s`, async t => {
    const scene = new Scene(t)
    const { options, uid, gid, groups } = made()
    const pid = await start(scene, options, 'staysWithThreads')
    t.true(readdirSync(`/proc/${pid}/task`).length > 6)
    const [uids, gids, lists] = ofAllThreads(pid, 'Uid', 'Gid', 'Groups')
    t.deepEqual(uids, [[uid, uid, uid, uid].join('\t')])
    t.deepEqual(gids, [[gid, gid, gid, gid].join('\t')])
    t.deepEqual(lists, [groups])
  })
}

asRoot('root can’t be had again, in no thread, and has no capability left', async t => {
  const scene = new Scene(t)
  scene.giveTo(NOBODY)
  const pid = await start(scene, { user: 'nobody' }, 'triesToBeRootAgain')
  await scene.until('it has tried', () => scene.exists('done'))
  const errors = [
    'setuid EPERM',
    'seteuid EPERM',
    'setgid EPERM',
    'setegid EPERM',
    'setgroups EPERM',
    'initgroups EPERM',
  ]
  t.deepEqual(scene.read('told').trimEnd().split('\n'), [...errors, 'shadow EACCES', 'thread EACCES'])
  for (const sets of ofAllThreads(pid, 'CapPrm', 'CapEff', 'CapAmb')) t.deepEqual(sets, ['0000000000000000'])
})

asRoot('effective ids that are not the real ones become the real ones for good', async t => {
  const scene = new Scene(t)
  const flags = ['--ruid', `${NOBODY}`, '--rgid', `${NOBODY}`, '--clear-groups']
  const { code, stderr } = await scene.run('setpriv', [...flags, process.execPath, ...identity('staysWithThreads', {})])
  t.is(code, 0, stderr)
  const [uids, gids] = ofAllThreads(Number(scene.read('d.pid')), 'Uid', 'Gid')
  t.deepEqual([uids, gids], [[Array(4).fill(NOBODY).join('\t')], [Array(4).fill(NOBODY).join('\t')]])
})

// ── The environment ──────────────────────────────────────────────────────────────────────

const ENVIRONMENTS: Record<string, { options: DaemonizeOptions; has: Record<string, string> }> = {
  'follows the user': {
    options: { user: 'nobody' },
    has: { USER: 'nobody', LOGNAME: 'nobody', HOME: '/nonexistent', SHELL: '/usr/sbin/nologin' },
  },
  'is what `env` says': {
    options: { user: 'nobody', env: { HOME: '/srv', SHELL: undefined } },
    has: { USER: 'nobody', LOGNAME: 'nobody', HOME: '/srv' },
  },
  'names nobody where there is no account': { options: { user: STRANGER, group: STRANGER }, has: {} },
  'names who `env` says where there is no account': {
    options: { user: STRANGER, group: STRANGER, env: { USER: 'app', HOME: '/app' } },
    has: { USER: 'app', HOME: '/app' },
  },
}

for (const [what, { options, has }] of Object.entries(ENVIRONMENTS)) {
  asRoot(`the environment ${what}`, async t => {
    const scene = new Scene(t)
    const pid = await start(scene, options)
    const variables = readFileSync(`/proc/${pid}/environ`, 'utf8')
      .split('\0')
      .map(each => each.split('='))
    const names = ['USER', 'LOGNAME', 'HOME', 'SHELL']
    t.deepEqual(Object.fromEntries(variables.filter(([name = '']) => names.includes(name))), has)
  })
}

// ── What is refused ──────────────────────────────────────────────────────────────────────

const REFUSED: [options: object, says: RegExp][] = [
  [{ user: 'nobodyy' }, /There is no user called 'nobodyy' \(`user` option\)/],
  [{ user: 'nobody', group: 'nogrroup' }, /There is no group called 'nogrroup' \(`group` option\)/],
  [{ user: 'nobody', groups: ['daemon', 'nogrroup'] }, /There is no group called 'nogrroup' \(`groups\.1` option\)/],
  [{ user: STRANGER }, /user 54321 has no account, and so no group: give the `group` option too/],
  [{ user: -1 }, /`user` option to be a name or an id, got -1/],
  [{ user: 2 ** 32 - 1 }, /`user` option to be a name or an id, got 4294967295/],
  [{ user: 1.5 }, /got 1\.5/],
  [{ user: '' }, /`user` option to be a name or an id, got ''/],
  [{ user: null }, /`user` option to be a name or an id, got null/],
  [{ group: true }, /`group` option to be a name or an id, got true/],
  [{ groups: 'daemon' }, /`groups` option to be an array of names and ids, got 'daemon'/],
  [{ groups: [1, null] }, /`groups\.1` option to be a name or an id, got null/],
  [{ chroot: '' }, /`chroot` option to be a path, got ''/],
  [{ chroot: true }, /`chroot` option to be a path, got true/],
]

for (const [options, says] of REFUSED) {
  asRoot(`${inspect(options, { breakLength: Infinity })} is refused, and nothing is left`, async t => {
    await refused(t, new Scene(t), withEverything(options), { says, code: 2 })
  })
}

asRoot('another identity can’t be had with io_uring, whose thread would keep the old one', async t => {
  const scene = new Scene(t)
  const becoming = withEverything({ user: 'nobody' })
  const run = { env: { UV_USE_IO_URING: '1' } }
  await refused(t, scene, becoming, { says: /unset UV_USE_IO_URING/, code: 2, run })
  const { code } = await scene.node(becoming, { env: { UV_USE_IO_URING: '0' } })
  t.is(code, 0)
})

const FORBIDDEN: Record<string, object> = {
  'another user': { user: 'daemon' },
  root: { user: 0 },
  'another group': { group: 'daemon' },
  'another list of groups': { groups: ['daemon'] },
  'a new root': { chroot: '/' },
}

for (const [what, options] of Object.entries(FORBIDDEN)) {
  asRoot(`an ordinary user can’t ask for ${what}: EPERM, before anything is started`, async t => {
    const scene = new Scene(t)
    scene.giveTo(NOBODY)
    const run = { uid: NOBODY, gid: NOBODY }
    const says = /^.*EPERM, operation not permitted; only root may do that\n$/
    await refused(t, scene, withEverything(options), { says, run })
    const catching = launchers('catches', options, {}, ['name', 'code', 'exitCode'])
    const { stdout } = await scene.node(catching, run)
    t.deepEqual(JSON.parse(stdout), { name: 'SystemCallError', code: 'EPERM', exitCode: 1 })
  })
}

asRoot('an ordinary user can ask to be who it is', async t => {
  const scene = new Scene(t)
  scene.giveTo(NOBODY)
  const { code, stderr } = await scene.node(identity('stays', { user: 'nobody', group: NOBODY }), {
    uid: NOBODY,
    gid: NOBODY,
  })
  t.is(code, 0, stderr)
})

asRoot('a root that is not there is refused by name', async t => {
  const scene = new Scene(t)
  const says = /cannot change the root to .*\/missing: ENOENT, no such file or directory/
  await refused(t, scene, withEverything({ chroot: scene.path('missing') }), { says })
})

asRoot('a set-uid start ends as who started it, for good', async t => {
  const scene = new Scene(t)
  chmodSync(scene.directory, 0o777)
  const node = scene.path('node')
  copyFileSync(process.execPath, node)
  chownSync(node, NOBODY, NOBODY)
  chmodSync(node, 0o4755)
  const { code, stderr } = await scene.run(node, identity('triesToBe', NOBODY), { uid: STRANGER, gid: STRANGER })
  t.is(code, 0, stderr)
  const status = readFileSync(`/proc/${Number(scene.read('d.pid'))}/status`, 'utf8')
  for (const ids of ['Uid', 'Gid']) t.regex(status, new RegExp(`^${ids}:(\\t${STRANGER}){4}$`, 'm'))
  t.is(scene.read('d.log'), 'EPERM\n')
})
