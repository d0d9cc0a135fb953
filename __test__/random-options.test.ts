// Options at random: a daemon that is what they say, or an error that names the bad one and nothing left. OPTION_SETS
// says how many, OPTION_SEED which.
import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, readdirSync, readFileSync, readlinkSync, statSync, writeFileSync } from 'node:fs'
import test, { type ExecutionContext } from 'ava'
import { type DaemonizeOptions, PidLock } from 'daemonic'
import { type OptionName, takesEffect } from '../src/options/table.js'
import type { Programs } from './fixtures/launchers.js'
import { startProgram } from './support/program.js'
import { generator } from './support/random.js'
import { programs, Scene } from './support/scene.js'

const SETS = Number(process.env.OPTION_SETS ?? 30)
const SEED = Number(process.env.OPTION_SEED ?? Date.now() % 2 ** 31)
const launchers = programs<Programs>('launchers')
const isRoot = process.getuid?.() === 0

/** A daemon to look at: its pid, and the directory that it was started in. */
interface Seen {
  pid: number
  directory: string
}
type Look = (seen: Seen) => unknown

interface Option<V> {
  /** Values, and what they look like in /proc. */
  good: [value: V, look: Look, expected: unknown][]
  /** Values that can't be, and the option or step that the error names where it isn't the option. */
  bad: [value: unknown, names?: string][]
}

const file =
  (name: string): Look =>
  ({ pid }) =>
    readFileSync(`/proc/${pid}/${name}`, 'utf8')
const line = (text: string, name: string) =>
  new RegExp(`^${name}:?\\s+(.*\\S)`, 'm').exec(text)?.[1]?.replace(/\s+/g, ' ')
const status =
  (name: string): Look =>
  seen =>
    line(String(file('status')(seen)), name)
const limit =
  (name: string): Look =>
  seen =>
    line(String(file('limits')(seen)), name)
      ?.split(' ')
      .slice(0, 2)
      .join()
/** Where a link in /proc/PID leads, from the directory of the start. */
const link =
  (name: string): Look =>
  ({ pid, directory }) =>
    readlinkSync(`/proc/${pid}/${name}`)
      .replace(directory, '.')
      .replace(/^(socket|pipe):.*/, '$1')
const variable =
  (name: string): Look =>
  seen =>
    String(file('environ')(seen))
      .split('\0')
      .find(each => each.startsWith(`${name}=`))
const mode =
  (name: string): Look =>
  ({ directory }) =>
    (statSync(`${directory}/${name}`).mode & 0o7777).toString(8)
/** A number of proc_pid_stat(5), counted from the state. */
const stat =
  (field: number): Look =>
  seen => {
    const text = String(file('stat')(seen))
    return Number(text.slice(text.lastIndexOf(')') + 2).split(' ')[field])
  }
const nice = stat(16)
const terminal = stat(4)
/** As ionice(1) of util-linux reads it by ioprio_get(2). */
const ioPriority: Look = ({ pid }) => execFileSync('ionice', ['-p', String(pid)], { encoding: 'utf8' }).trim()
const ignored =
  (signal: number): Look =>
  seen =>
    (BigInt(`0x${status('SigIgn')(seen)}`) & (1n << BigInt(signal - 1))) !== 0n
const title: Look = seen => String(file('cmdline')(seen)).split('\0')[0]
const all =
  (...looks: Look[]): Look =>
  seen =>
    looks.map(look => look(seen)).join(' ')

/** Every option, or why it isn't drawn. */
const OPTIONS: { [K in keyof DaemonizeOptions]-?: Option<DaemonizeOptions[K]> | string } = {
  name: {
    good: [
      ['a', title, 'a'],
      ['x.y-z_1', title, 'x.y-z_1'],
    ],
    bad: [[''], ['a/b'], [7]],
  },
  title: 'it takes the place of the name, by which that is seen: titles.test.ts',
  instance: { good: [['here', () => '', '']], bad: [[''], [7]] },
  detach: { good: [[true, terminal, 0]], bad: [['yes'], [1]] },
  chdir: {
    good: [
      ['/', link('cwd'), '/'],
      ['./inner', link('cwd'), './inner'],
      [false, link('cwd'), '.'],
    ],
    bad: [[''], [7], ['./missing']],
  },
  umask: {
    good: [
      [0, status('Umask'), '0000'],
      [0o077, status('Umask'), '0077'],
      [false, status('Umask'), '0013'],
    ],
    bad: [['077'], [-1], [0o1000]],
  },
  stdin: {
    good: [
      ['ignore', link('fd/0'), '/dev/null'],
      ['./in', link('fd/0'), './in'],
      [9, link('fd/0'), './in'],
    ],
    bad: [['ignroe'], [77], ['./missing']],
  },
  log: {
    good: [
      ['ignore', () => '', ''],
      ['./d.log', mode('d.log'), '640'],
      [{ path: './e.log', mode: 0o600, truncate: true }, mode('e.log'), '600'],
    ],
    bad: [['ignroe'], [77], [{ path: './x', mode: '600' }], ['./missing/d.log'], [9]],
  },
  stdout: {
    good: [
      ['./out', link('fd/1'), './out'],
      ['inherit', link('fd/1'), 'pipe|socket'],
      [8, link('fd/1'), './kept'],
    ],
    bad: [[true], [9], ['./inner', 'log']],
  },
  stderr: {
    good: [
      ['./err', link('fd/2'), './err'],
      ['ignore', link('fd/2'), '/dev/null'],
    ],
    bad: [[{}], ['log']],
  },
  preserve: {
    good: [
      [[], () => '', ''],
      [[9, { fd: 8 }], all(link('fd/9'), link('fd/8')), './in ./kept'],
    ],
    bad: [[[77]], ['9'], [[-1]]],
  },
  listen: {
    good: [
      [{ web: '127.0.0.1:0' }, link('fd/3'), 'socket'],
      [
        { a: { path: './a.sock', mode: 0o600 }, b: 0 },
        all(link('fd/3'), link('fd/4'), mode('a.sock')),
        'socket socket 600',
      ],
    ],
    bad: [
      [{ web: -1 }],
      [{ 'a b': 1 }],
      [{ a: './b.sock', web: './taken' }],
      [{ web: { port: 1, path: './x' } }],
      [80],
    ],
  },
  limits: {
    good: [
      [{ nofile: 500 }, limit('Max open files'), '500,500'],
      [
        { nproc: { soft: 4000, hard: 5000 } },
        all(limit('Max processes'), limit('Max core file size')),
        '4000,5000 0,0',
      ],
      [{ core: { soft: 0, hard: 4096 } }, limit('Max core file size'), '0,4096'],
    ],
    bad: [[{ nofiles: 1 }], [{ core: { soft: 2, hard: 1 } }], [{ core: null }], [[]]],
  },
  nice: {
    good: [
      [3, nice, 3],
      [19, nice, 19],
    ],
    bad: [[20], ['3']],
  },
  ioPriority: {
    good: [
      ['idle', ioPriority, 'idle'],
      ['best-effort:6', ioPriority, 'best-effort: prio 6'],
    ],
    bad: [['realtime'], ['best-effort:8'], ['Idle'], [3]],
  },
  oomScoreAdjust: {
    good: [
      [500, seen => file('oom_score_adj')(seen), '500\n'],
      [1000, file('oom_score_adj'), '1000\n'],
    ],
    bad: [[1001], [null]],
  },
  noNewPrivileges: { good: [[true, status('NoNewPrivs'), '1']], bad: [[1]] },
  signals: {
    good: [
      [{ SIGUSR2: 'ignore' }, ignored(12), true],
      [{ SIGTSTP: 'default' }, ignored(20), false],
    ],
    bad: [[{ SIGKILL: 'stop' }], [{ SIGTREM: 'stop' }], [{ SIGHUP: 1 }]],
  },
  env: { good: [[{ ADDED: 'yes' }, variable('ADDED'), 'ADDED=yes']], bad: [[{ A: 1 }], [{ 'A=B': '' }], ['A=b']] },
  pidFile: {
    good: [
      [
        './d.pid',
        ({ pid, directory }) =>
          readFileSync(`${directory}/d.pid`, 'utf8') === `${pid}\n` && PidLock.inspect(`${directory}/d.pid`).state,
        'running',
      ],
      [{ path: './e.pid', mode: 0o600 }, mode('e.pid'), '600'],
    ],
    bad: [[7], [''], [{ path: './x', mod: 1 }], ['./missing/d.pid']],
  },
  ready: { good: [['loaded', () => '', '']], bad: [['manuel'], [true]] },
  idleTimeout: { good: [[500_000, () => '', '']], bad: [[0], ['1m']] },
  monitor: 'two processes: supervisor-*.test.ts',
  workers: 'several processes: supervisor-workers.test.ts',
  startTimeout: { good: [[50_000, () => '', '']], bad: [[0], ['1s']] },
  stopTimeout: { good: [[5_000, () => '', '']], bad: [[-1], ['1s']] },
  drainTimeout: { good: [[2_000, () => '', '']], bad: [[0], ['1s'], [10_000_000]] },
  chroot: 'paths mean something else: identity.test.ts',
  user: {
    good: [
      ['nobody', status('Uid'), '65534 65534 65534 65534'],
      [0, status('Uid'), '0 0 0 0'],
    ],
    bad: [['nobodyy'], [-1], [1.5]],
  },
  group: {
    good: [
      ['daemon', status('Gid'), '1 1 1 1'],
      [2, status('Gid'), '2 2 2 2'],
    ],
    bad: [['nogrroup'], [null]],
  },
  groups: { good: [[[1, 'daemon', 2], status('Groups'), '1 2']], bad: [['daemon'], [[null]]] },
}

/** Options that only root may give. */
const NEEDS_ROOT = ['user', 'group', 'groups']
const DRAWN = Object.entries(OPTIONS).flatMap(([name, option]) =>
  typeof option === 'string' || (NEEDS_ROOT.includes(name) && !isRoot) ? [] : [[name, option] as const],
)

/** Steps of system calls, and the options that they are about. */
const STEPS: Record<string, string[]> = { 'pid file create': ['pidFile'], log: ['log', 'stdout', 'stderr'] }

interface Drawn {
  options: Record<string, unknown>
  looks: [option: string, look: Look, expected: unknown][]
  bad: string[]
}

/** About every other set has something bad in it. */
function draw(random: () => number): Drawn {
  const pick = <T>(list: readonly T[]) => list[Math.floor(random() * list.length)] as T
  const drawn: Drawn = { options: {}, looks: [], bad: [] }
  for (const [name, option] of DRAWN) {
    if (random() > 0.4) continue
    if (name === 'stderr' && 'stdout' in drawn.options && 'log' in drawn.options) continue // nothing would be left for `log`
    const isBad = random() < 0.08
    if (isBad) drawn.bad.push(name)
    const [value, look, expected] = isBad ? [...pick(option.bad), undefined] : pick<unknown[]>(option.good)
    drawn.options[name] = value
    if (!isBad) drawn.looks.push([name, look as Look, expected])
  }
  return drawn
}

interface Started {
  code: number | null
  stdout: string
  stderr: string
  directory: string
  /** What lay there before the start. */
  before: string[]
}

/** Starts the program in a directory of its own, with a few descriptors that a shell gives it. */
async function start(scene: Scene, options: Record<string, unknown>): Promise<Started> {
  const directory = scene.path(`set${scene.files().length}`)
  mkdirSync(`${directory}/inner`, { recursive: true })
  for (const name of ['in', 'taken']) writeFileSync(`${directory}/${name}`, '')
  const before = readdirSync(directory)
  const command = 'umask 013; exec 9<in 8>kept; exec "$@"'
  const env = { XDG_STATE_HOME: undefined }
  const result = await scene.by('bash', command, launchers('printsWhatIsWrong', options), { cwd: directory, env })
  return { ...result, directory, before }
}

async function tryOut(t: ExecutionContext, scene: Scene, { options, looks, bad }: Drawn, what: string) {
  const { code, stdout, stderr, directory, before } = await start(scene, options)
  const daemons = scene.processes()
  if (bad.length > 0) {
    t.not(code, 0, what)
    const { name, names, message } = JSON.parse(stdout)
    t.true(['OptionError', 'SystemCallError'].includes(name), `${what}: ${message}`)
    const blamed = STEPS[names] ?? [String(names).split('.')[0]]
    t.true(
      bad.some(each => blamed.includes(each)),
      `${what}: ${name}, ${names}, ${message}`,
    )
    t.deepEqual(daemons, [], what)
    // A log is kept, whatever becomes of the start.
    const left = readdirSync(directory).filter(
      each => !before.includes(each) && each !== 'kept' && !/^([de]\.log|out|err)$/.test(each),
    )
    t.deepEqual(left, [], what)
    return
  }
  t.is(code, 0, `${what}: ${stdout}${stderr}`)
  t.is(daemons.length, 1, what)
  const seen = { pid: daemons[0] ?? 0, directory }
  for (const [option, look, expected] of looks) {
    const found = look(seen)
    if (option === 'stdout' && expected === 'pipe|socket') t.regex(String(found), /^(pipe|socket)$/, what)
    else t.is(found, expected, `${option} of ${what}`)
  }
  process.kill(seen.pid, 'SIGKILL')
  await scene.empty()
}

test('every value of every option, alone, is what the kernel shows of the daemon', async t => {
  t.timeout(300_000)
  const scene = new Scene(t)
  chmodSync(scene.directory, 0o711)
  for (const [name, { good }] of DRAWN) {
    for (const [value, look, expected] of good) {
      const drawn: Drawn = { options: { [name]: value }, looks: [[name, look, expected]], bad: [] }
      await tryOut(t, scene, drawn, JSON.stringify(drawn.options))
    }
  }
})

test('every wrong value of every option, alone, is refused and leaves nothing', async t => {
  t.timeout(300_000)
  const scene = new Scene(t)
  chmodSync(scene.directory, 0o711)
  for (const [name, { bad }] of DRAWN) {
    for (const [value] of bad) {
      const drawn: Drawn = { options: { [name]: value }, looks: [], bad: [name] }
      await tryOut(t, scene, drawn, JSON.stringify(drawn.options))
    }
  }
})

test('what takes effect before exec, a supervisor’s worker has too', async t => {
  t.timeout(120_000)
  const scene = new Scene(t)
  for (const [name, { good }] of DRAWN) {
    if (!takesEffect(name as OptionName, 'exec')) continue
    for (const [value, look, expected] of good) {
      const what = JSON.stringify({ [name]: value })
      const supervised = { [name]: value, monitor: true, pidFile: './d.pid' }
      const { code, stdout, stderr, directory } = await start(scene, supervised)
      t.is(code, 0, `${what}: ${stdout}${stderr}`)
      const supervisor = Number(readFileSync(`${directory}/d.pid`, 'utf8'))
      const [worker = 0, another] = scene.processes().filter(pid => pid !== supervisor)
      t.is(another, undefined)
      t.is(look({ pid: worker, directory }), expected, what)
      process.kill(supervisor, 'SIGKILL')
      await scene.empty()
    }
  }
})

test(`${SETS} sets of random options`, async t => {
  t.timeout(SETS * 10_000 + 120_000)
  t.log(`OPTION_SEED=${SEED}`)
  const scene = new Scene(t)
  chmodSync(scene.directory, 0o711)
  const random = generator(SEED)
  for (let set = 0; set < SETS; set++) {
    const drawn = draw(random)
    await tryOut(t, scene, drawn, `set ${set} of OPTION_SEED=${SEED}, ${JSON.stringify(drawn.options)}`)
  }
})

test('two daemons, and a daemon and its launcher, have different randomness', async t => {
  const scene = new Scene(t)
  for (let start = 0; start < 2; start++) {
    process.kill(await startProgram(scene, launchers('tellsRandomNumbers')), 'SIGTERM')
    await scene.until('it has ended', () => !scene.exists('d.pid'))
  }
  const told = scene.read('told').trimEnd().split('\n')
  t.is(told.length, 12)
  t.is(new Set(told).size, 12)
})
