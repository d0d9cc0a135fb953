// Limits, priorities, umask and working directory, as /proc shows them of the daemon.
import { mkdirSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs'
import { inspect } from 'node:util'
import test from 'ava'
import type { DaemonizeOptions, ResourceName } from 'daemonic'
import { identity, withEverything } from './support/identity.js'
import { asRoot, NOBODY } from './support/locks.js'
import { inForeground, startProgram } from './support/program.js'
import { refused } from './support/refused.js'
import { type RunOptions, Scene } from './support/scene.js'

function start(scene: Scene, options: DaemonizeOptions, run: RunOptions = {}): Promise<number> {
  return startProgram(scene, identity('stays', options), run)
}

const isOptionError = (option: string) => new RegExp(`OptionError: .*\`${option.replaceAll('.', '\\.')}\``)

/** A line of proc_pid_status(5). */
function statusLine(pid: number, name: string, thread = pid): string {
  return (
    new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(readFileSync(`/proc/${pid}/task/${thread}/status`, 'utf8'))?.[1] ?? ''
  )
}

function niceValue(pid: number, thread: number | string = pid): number {
  const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, 'latin1')
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[16])
}

const oomScoreAdjust = (pid: number) => Number(readFileSync(`/proc/${pid}/oom_score_adj`, 'utf8'))

// ── Limits ───────────────────────────────────────────────────────────────────────────────

/** What proc_pid_limits(5) calls them. */
const LINES: Record<ResourceName, string> = {
  as: 'Max address space',
  core: 'Max core file size',
  cpu: 'Max cpu time',
  data: 'Max data size',
  fsize: 'Max file size',
  locks: 'Max file locks',
  memlock: 'Max locked memory',
  msgqueue: 'Max msgqueue size',
  nice: 'Max nice priority',
  nofile: 'Max open files',
  nproc: 'Max processes',
  rss: 'Max resident set',
  rtprio: 'Max realtime priority',
  rttime: 'Max realtime timeout',
  sigpending: 'Max pending signals',
  stack: 'Max stack size',
}

/** Soft and hard, as the kernel writes them. */
function limitsOf(pid: number | 'self', resource: ResourceName): string[] {
  const line = new RegExp(`^${LINES[resource]}\\s+(\\S+)\\s+(\\S+)`, 'm').exec(
    readFileSync(`/proc/${pid}/limits`, 'utf8'),
  )
  return line?.slice(1) ?? []
}

/** A limit with which Node can live, at most as high as the present one. */
function bearable(resource: ResourceName): { soft: number; hard: number | 'unlimited' } {
  const present = limitsOf('self', resource)[1]
  if (present === 'unlimited') return { soft: resource === 'stack' ? 2 ** 24 : 2 ** 40, hard: 'unlimited' }
  const hard = Number(present)
  return { soft: Math.max(0, hard - 1), hard }
}

for (const resource of Object.keys(LINES) as ResourceName[]) {
  test(`limits.${resource} is soft and hard`, async t => {
    const { soft, hard } = bearable(resource)
    const pid = await start(new Scene(t), { limits: { [resource]: { soft, hard } } })
    t.deepEqual(limitsOf(pid, resource), [`${soft}`, `${hard}`])
  })
}

test('one number is both', async t => {
  const pid = await start(new Scene(t), { limits: { nofile: 777, nproc: 5000, core: 0 } })
  t.deepEqual(limitsOf(pid, 'nofile'), ['777', '777'])
  t.deepEqual(limitsOf(pid, 'nproc'), ['5000', '5000'])
})

test("'unlimited' is both too, and others stay as the caller has them, but for core", async t => {
  const scene = new Scene(t)
  const limited = identity('stays', { limits: { cpu: 'unlimited' } })
  const { code, stderr } = await scene.by('bash', 'ulimit -S -n 500; ulimit -S -t 5000; exec "$@"', limited)
  t.is(code, 0, stderr)
  const pid = Number(scene.read('d.pid'))
  t.deepEqual(limitsOf(pid, 'cpu'), ['unlimited', 'unlimited'])
  t.is(limitsOf(pid, 'core').join(), '0,0')
})

asRoot('a hard limit that one may not raise is refused, and the present one named', async t => {
  const scene = new Scene(t)
  scene.giveTo(NOBODY)
  const raising = withEverything({ limits: { nofile: 9000 } })
  const command = `ulimit -n 4000; exec setpriv --reuid ${NOBODY} --regid ${NOBODY} --clear-groups "$@"`
  const stderr = await refused(t, scene, () => scene.by('bash', command, raising), {
    says: /^cannot set a resource limit.*: EPERM, operation not permitted; .*4000/,
  })
  t.regex(stderr, /nofile/, 'which limit')
})

const BAD: [option: string, options: object][] = [
  ['limits', { limits: [] }],
  ['limits.files', { limits: { files: 1 } }],
  ['limits.nofile', { limits: { nofile: 'infinity' } }],
  ['limits.nofile', { limits: { nofile: -1 } }],
  ['limits.nofile', { limits: { nofile: 1.5 } }],
  ['limits.nofile', { limits: { nofile: Number.NaN } }],
  ['limits.nofile', { limits: { nofile: 2 ** 60 } }],
  ['limits.nofile', { limits: { nofile: { soft: 200, hard: 100 } } }],
  ['limits.nofile', { limits: { nofile: { soft: 'unlimited', hard: 100 } } }],
  ['limits.nofile.soft', { limits: { nofile: { hard: 100 } } }],
  ['limits.nofile.hard', { limits: { nofile: { soft: 100 } } }],
  ['limits.nofile.max', { limits: { nofile: { soft: 1, hard: 2, max: 3 } } }],
  ['nice', { nice: -21 }],
  ['nice', { nice: 20 }],
  ['nice', { nice: 1.5 }],
  ['nice', { nice: '5' }],
  ['nice', { nice: null }],
  ['oomScoreAdjust', { oomScoreAdjust: -1001 }],
  ['oomScoreAdjust', { oomScoreAdjust: 1001 }],
  ['oomScoreAdjust', { oomScoreAdjust: '500' }],
  ['noNewPrivileges', { noNewPrivileges: 1 }],
  ['noNewPrivileges', { noNewPrivileges: 'yes' }],
  ['umask', { umask: '077' }],
  ['umask', { umask: 0o1000 }],
  ['umask', { umask: -1 }],
  ['umask', { umask: true }],
  ['chdir', { chdir: '' }],
  ['chdir', { chdir: 7 }],
  ['chdir', { chdir: null }],
]

for (const [option, options] of BAD) {
  test(`${inspect(options, { breakLength: Infinity, depth: null })} is refused`, async t => {
    await refused(t, new Scene(t), withEverything(options), { says: isOptionError(option), code: 2 })
  })
}

// ── Priorities ───────────────────────────────────────────────────────────────────────────

for (const nice of [0, 7, 19]) {
  test(`a nice value of ${nice} is every thread’s`, async t => {
    const pid = await start(new Scene(t), { nice })
    for (const thread of readdirSync(`/proc/${pid}/task`)) t.is(niceValue(pid, thread), nice, thread)
  })
}

asRoot('a negative nice value needs root', async t => {
  const scene = new Scene(t)
  const pid = await start(scene, { nice: -5 })
  t.is(niceValue(pid), -5)
  const other = new Scene(t)
  other.giveTo(NOBODY)
  const run = { uid: NOBODY, gid: NOBODY }
  await refused(t, other, withEverything({ nice: -5 }), { says: /^cannot set the nice value: (EACCES|EPERM), /, run })
})

test('in the foreground, a nice value and no new privileges are every thread’s too', async t => {
  const scene = new Scene(t)
  const { child } = await inForeground(scene, identity('stays', { nice: 9, noNewPrivileges: true }))
  const pid = child.pid ?? 0
  const threads = readdirSync(`/proc/${pid}/task`).map(Number)
  t.deepEqual(
    threads.map(thread => niceValue(pid, thread)),
    threads.map(() => 9),
  )
  t.is(statusLine(pid, 'NoNewPrivs'), '1')
})

asRoot('to be killed before others when memory is short needs no privilege', async t => {
  const scene = new Scene(t)
  scene.giveTo(NOBODY)
  const pid = await start(scene, { oomScoreAdjust: 900 }, { uid: NOBODY, gid: NOBODY })
  t.is(oomScoreAdjust(pid), 900)
})

test('to be killed after others does', async t => {
  const scene = new Scene(t)
  const { code, stderr } = await scene.node(identity('stays', { oomScoreAdjust: oomScoreAdjust(process.pid) - 100 }))
  if (code !== 0) {
    t.regex(stderr, /^cannot set the oom score: (EACCES|EPERM), .*\n$/)
    t.deepEqual(scene.processes(), [])
    t.deepEqual(scene.files(), [])
    t.log('skipped: only CAP_SYS_RESOURCE can lower it')
    return
  }
  t.is(oomScoreAdjust(Number(scene.read('d.pid'))), oomScoreAdjust(process.pid) - 100)
})

for (const noNewPrivileges of [true, false]) {
  test(`\`noNewPrivileges: ${noNewPrivileges}\` is what the daemon has`, async t => {
    const pid = await start(new Scene(t), { noNewPrivileges })
    const own = statusLine(process.pid, 'NoNewPrivs')
    for (const thread of readdirSync(`/proc/${pid}/task`))
      t.is(statusLine(pid, 'NoNewPrivs', Number(thread)), noNewPrivileges ? '1' : own)
  })
}

// ── Files and directories ────────────────────────────────────────────────────────────────

for (const [umask, expected] of [
  [undefined, 0o022],
  [0o077, 0o077],
  [0, 0],
  [0o777, 0o777],
  [false, 0o013],
] as const) {
  test(`a umask of ${umask === undefined ? 'undefined' : umask && `0o${umask.toString(8)}`} is ${expected.toString(8)}, for what the daemon makes`, async t => {
    const scene = new Scene(t)
    const { code, stderr } = await scene.by('sh', 'umask 013; exec "$@"', identity('makesAFile', { umask }, 'made'))
    t.is(code, 0, stderr)
    await scene.until('it has made a file', () => scene.exists('made'))
    t.is(Number.parseInt(statusLine(Number(scene.read('d.pid')), 'Umask'), 8), expected)
    t.is(statSync(scene.path('made')).mode & 0o777, 0o666 & ~expected)
  })
}

for (const [chdir, expected] of [
  [undefined, () => '/'],
  ['/usr', () => `${readlinkSync('/proc/self/root')}usr`],
  ['./inner', (scene: Scene) => scene.path('inner')],
  ['inner/../inner', (scene: Scene) => scene.path('inner')],
  [false, (scene: Scene) => scene.directory],
] as const) {
  test(`a chdir of ${inspect(chdir)} is the working directory, for the kernel and for Node`, async t => {
    const scene = new Scene(t)
    mkdirSync(scene.path('inner'))
    const pid = await startProgram(scene, identity('tellsItsDirectories', { chdir }))
    t.is(readlinkSync(`/proc/${pid}/cwd`), expected(scene))
    t.is(scene.read('told'), `${expected(scene)} ${scene.directory}\n`)
  })
}

test('a directory that can’t be entered is refused by name', async t => {
  const scene = new Scene(t)
  scene.write('file', '')
  const missing = /^cannot change to the directory .*\/missing: ENOENT, .*\n$/
  await refused(t, scene, withEverything({ chdir: './missing' }), { says: missing })
  const noDirectory = /^cannot change to the directory .*\/file: ENOTDIR, .*\n$/
  await refused(t, scene, withEverything({ chdir: './file' }), { says: noDirectory })
})

asRoot('so is one that the user may not enter', async t => {
  const scene = new Scene(t)
  const says = /^cannot change to the directory .*: EACCES, permission denied.*\n$/
  await refused(t, scene, withEverything({ chdir: scene.directory, user: 'nobody' }), { says })
})
