// Every option of a daemonize() call in a program that was started from outside: the kernel or the supervisor shows it, or the
// log says that it can't apply.
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, readlinkSync } from 'node:fs'
import { connect as connectTo } from 'node:net'
import test from 'ava'
import { connect, type DaemonizeOptions, PidLock, signal, status, stop } from 'daemonic'
import { cli, cliEnvironment, place, spawnCli } from './support/cli.js'
import { callers, told } from './support/launching.js'
import { asRoot } from './support/root.js'
import { type RunOptions, Scene } from './support/scene.js'

/** A daemon that was started from outside. */
interface Started {
  scene: Scene
  target: string
  /** The program's process: the daemon, or its worker. */
  pid: number
  log(): string
}

const TARGET = 'run/d.pid'

/** The ways in which a program is started from outside, with what it is given in the environment. */
const WAYS = {
  start: async (scene: Scene, run: RunOptions): Promise<() => string> => {
    const { code, stderr } = await cli(scene, ['start', place(scene, 'takes-options', 'd.mjs')], run)
    if (code !== 0) throw new Error(`start ended with ${code}: ${stderr}`)
    return () => scene.read('state/d.log')
  },
  run: async (scene: Scene, run: RunOptions): Promise<() => string> => {
    const path = place(scene, 'takes-options', 'd.mjs')
    const child = spawnCli(scene, ['run', '--pid-file', 'd.pid', path], run)
    let log = ''
    for (const stream of [child.stdout, child.stderr]) stream?.setEncoding('utf8').on('data', text => (log += text))
    await scene.until('it is ready', () => PidLock.inspect(scene.path(TARGET)).state === 'running')
    return () => log
  },
  launch: (scene: Scene, run: RunOptions) => launched(scene, run, {}),
  'launch, supervised': (scene: Scene, run: RunOptions) => launched(scene, run, { monitor: true }),
}
type Way = keyof typeof WAYS

async function launched(scene: Scene, run: RunOptions, options: { monitor?: boolean }): Promise<() => string> {
  const calling = callers('launches', place(scene, 'takes-options', 'd.mjs'), options)
  const { error } = told(await scene.node(calling, { ...run, env: { ...cliEnvironment(scene), ...run.env } }))
  if (error !== undefined) throw new Error(error.message)
  return () => scene.read('state/d.log')
}

async function begin(scene: Scene, way: Way, options: DaemonizeOptions): Promise<Started> {
  const log = await WAYS[way](scene, { env: { OPTIONS: JSON.stringify(options) } })
  const target = scene.path(TARGET)
  const pid = (await status(target)).workers[0]?.pid ?? 0
  return { scene, target, pid, log }
}

type Look = (started: Started) => unknown

interface Case<V> {
  value: V
  /** Looks at what the option did, and gives something once that is to be seen. Absent: it is said that it can't apply. */
  look?: Look
  /** The ways in which it can't apply, though it does in others. */
  notBy?: readonly Way[]
}

const file =
  (name: string, pattern: RegExp): Look =>
  ({ pid }) =>
    pattern.test(readFileSync(`/proc/${pid}/${name}`, 'utf8'))
const noted =
  (text: string): Look =>
  ({ scene }) =>
    scene.exists('noted') && scene.read('noted').split('\n').includes(text)

/** Every option that takes effect while the daemon goes on: none can be left out. */
const CASES: Omit<
  { [K in keyof DaemonizeOptions]-?: Case<DaemonizeOptions[K]> },
  keyof typeof IDENTITY | 'idleTimeout'
> = {
  name: { value: 'walked', look: ({ pid, log }) => log().includes(` walked[${pid}] info: `), notBy: ['start', 'run'] },
  title: { value: 'a title', look: file('cmdline', /^a title/) },
  instance: { value: 'here' },
  detach: { value: true, look: ({ pid }) => readlinkSync(`/proc/${pid}/fd/0`) === '/dev/null', notBy: ['run'] },
  chdir: { value: '/usr', look: ({ pid }) => readlinkSync(`/proc/${pid}/cwd`) === '/usr' },
  umask: { value: 0o027, look: file('status', /^Umask:\s+0027$/m) },
  stdin: { value: '/dev/zero' },
  log: { value: './other.log' },
  stdout: { value: './other.log' },
  stderr: { value: './other.log' },
  preserve: { value: [9] },
  listen: {
    value: { extra: '127.0.0.1:0' },
    look: async ({ target }) => {
      const socket = await connect(target, 'extra')
      socket.destroy()
      return true
    },
  },
  limits: { value: { fsize: 123_456_789 }, look: file('limits', /^Max file size\s+123456789\s+123456789/m) },
  nice: {
    value: 5,
    look: ({ pid }) => execFileSync('ps', ['-o', 'ni=', '-p', `${pid}`], { encoding: 'utf8' }).trim() === '5',
  },
  ioPriority: {
    value: 'idle',
    look: ({ pid }) => execFileSync('ionice', ['-p', `${pid}`], { encoding: 'utf8' }).trim() === 'idle',
  },
  oomScoreAdjust: { value: 500, look: file('oom_score_adj', /^500$/m) },
  noNewPrivileges: { value: true, look: file('status', /^NoNewPrivs:\s+1$/m) },
  signals: {
    value: { SIGHUP: 'default' },
    look: async started => {
      await signal(started.target, 'SIGHUP')
      return noted('SIGHUP')(started)
    },
  },
  env: { value: { WALKED: 'through' }, look: noted('through') },
  pidFile: { value: './other.pid' },
  ready: { value: 'manual', look: noted('ready') },
  monitor: { value: { restart: 'always', maxDelay: 1 }, look: isRestarted, notBy: ['launch', 'launch, supervised'] },
  workers: {
    value: 2,
    look: async ({ target }) => (await status(target)).workers.length === 2,
    notBy: ['launch', 'launch, supervised'],
  },
  startTimeout: { value: 12_345 },
  stopTimeout: { value: 9_876, look: async ({ target }) => (await status(target)).stopTimeout === 9_876 },
  drainTimeout: { value: 210, look: drainsForThat },
}

/** Options that need root, or take the files away that the others are looked at by: a daemon of their own. */
const IDENTITY = {
  chroot: './jail',
  user: 65_534,
  group: 65_534,
  groups: [65_534, 65_533],
} satisfies Partial<DaemonizeOptions>

async function isRestarted({ scene, target, pid }: Started): Promise<true> {
  process.kill(pid, 'SIGKILL')
  return scene.until('another worker is ready', async () => {
    const { workers } = await status(target)
    return workers.some(({ restarts, ready }) => restarts > 0 && ready) && (true as const)
  })
}

/** A connection that has no end of its own, at a stop: the daemon closes it after that time. */
async function drainsForThat({ scene, target, log }: Started): Promise<unknown> {
  const { extra = '' } = (await status(target)).addresses
  const socket = connectTo(Number(extra.replace(/.*:/, '')), '127.0.0.1').on('error', () => {})
  await new Promise(resolve => socket.once('connect', resolve))
  await stop(target)
  socket.destroy()
  return scene.until('it is said', () => /1 connection was still open after 210 ms of draining: closed/.test(log()))
}

for (const way of Object.keys(WAYS) as Way[]) {
  test(`what a call asks for is done, or said not to be, in a program started by ${way}`, async t => {
    const scene = new Scene(t)
    const values = Object.fromEntries(Object.entries(CASES).map(([key, { value }]) => [key, value]))
    const started = await begin(scene, way, values)
    const cases: [string, Case<unknown>][] = Object.entries(CASES)
    const cannot = cases.filter(([, { look, notBy }]) => !look || notBy?.includes(way)).map(([key]) => key)
    const [, said = ''] = await scene.until('it is said what is overridden', () =>
      /what daemonize\(\) was given for (.*) is overridden/.exec(started.log()),
    )
    t.deepEqual(said.split(', ').sort(), cannot.sort())
    for (const [key, { look }] of cases.filter(([key]) => !cannot.includes(key))) {
      await scene.until(`${key} is to be seen`, () => look?.(started))
      t.pass(key)
    }
    await scene.empty()
  })

  test(`idleTimeout ends it, started by ${way}`, async t => {
    const scene = new Scene(t)
    const { log } = await begin(scene, way, { idleTimeout: 200, listen: { extra: '127.0.0.1:0' } })
    await scene.empty()
    t.regex(log(), /\bidle\b/)
  })

  asRoot(`chroot and identity are taken, started by ${way}`, async t => {
    const scene = new Scene(t)
    mkdirSync(scene.path('jail'))
    const { pid, target } = await begin(scene, way, { ...IDENTITY, chroot: scene.path('jail') })
    const facts = readFileSync(`/proc/${pid}/status`, 'utf8')
    t.regex(facts, /^Uid:\t65534\t65534\t65534\t65534$/m)
    t.regex(facts, /^Gid:\t65534\t65534\t65534\t65534$/m)
    t.regex(facts, /^Groups:\t65533 65534 ?$/m)
    t.is(readlinkSync(`/proc/${pid}/root`), scene.path('jail'))
    await stop(target)
  })
}
