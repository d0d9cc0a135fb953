// The process between launcher and daemon: an executable of its own, which holds nothing of its caller's.
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import type { Programs } from './fixtures/middles.js'
import { inScene } from './support/launching.js'
import { finished, fixture, programs, Scene } from './support/scene.js'
import { isAlive, statusLine } from './support/supervised.js'

const caller = programs<Programs>('middles')
const STAYS = fixture('scripts/stays')

const hasStrace = spawnSync('strace', ['-V']).status === 0
/** How long a hung start is held up, in microseconds, and how long it may take. */
const HANGS_US = 600_000_000
const HUNG_MS = 2_000

/** What a caller has, and its middle process must not have: memory, in MB and KB. */
const BALLAST_MB = 200
const MOST_MIDDLE_KB = 8_000
/** How often three starts at once are tried while other processes are started; four at once while variables are set. */
const FORKING_ROUNDS = 5
const ENVIRONMENT_ROUNDS = 25

test('it has neither memory nor descriptors of its caller', async t => {
  const scene = new Scene(t)
  const never = scene.write(
    'never.mjs',
    `import { writeFileSync } from 'node:fs'
writeFileSync('${scene.path('booting')}', String(process.pid)); setInterval(() => {}, 1e6); await new Promise(() => {})`,
  )
  const calling = caller('launchesWithBallast', never, BALLAST_MB)
  const child = scene.spawn(
    'bash',
    ['-c', 'exec 9</dev/zero; exec "$@"', 'bash', process.execPath, ...calling],
    inScene(scene),
  )
  const end = finished(child)
  const daemon = Number(await scene.until('it boots', () => scene.exists('booting') && scene.read('booting')))
  const middle = Number(statusLine(daemon, 'PPid'))
  t.not(middle, child.pid)
  t.is(statusLine(middle, 'Name'), 'daemonic-middle')
  t.is(statusLine(middle, 'Threads'), '1')
  t.true(Number.parseInt(statusLine(child.pid ?? 0, 'VmRSS'), 10) > BALLAST_MB << 10)
  t.true(Number.parseInt(statusLine(middle, 'VmRSS'), 10) < MOST_MIDDLE_KB)
  const open = readdirSync(`/proc/${middle}/fd`).map(fd => readlinkSync(`/proc/${middle}/fd/${fd}`))
  t.false(open.includes('/dev/zero'))
  t.true(open.length <= 4, open.join())
  child.kill('SIGKILL')
  await end
})

test('while another thread starts processes without a pause, every start comes to its end', async t => {
  const scene = new Scene(t)
  const { code, stdout, stderr } = await scene.node(
    caller('launchesWhileForking', STAYS, FORKING_ROUNDS),
    inScene(scene),
  )
  t.is(code, 0, stderr)
  const pids = (JSON.parse(stdout) as { pid?: number }[]).map(({ pid = 0 }) => pid)
  t.is(pids.length, FORKING_ROUNDS * 3)
  t.true(pids.every(isAlive))
})

test('a start that hangs before the daemon has a pid ends at its timeout, and holds no other start up', async t => {
  if (!hasStrace) return void t.pass('skipped: strace holds one of two starts up')
  const scene = new Scene(t)
  const [slow, quick] = [scene.path('slow'), scene.path('quick')]
  for (const directory of [slow, quick]) mkdirSync(directory)
  // The process changes to the directory of its start just before it is executed; until then the middle can't go on.
  const hangs = ['-P', slow, '-e', 'trace=chdir', '-e', `inject=chdir:delay_enter=${HANGS_US}`]
  // -D: the tracer, which waits for the process that it holds up, is no parent of the launching one.
  const strace = ['-D', '-f', '-o', scene.path('trace'), ...hangs]
  const calling = caller('launchesFromTwoDirectories', STAYS, quick, HUNG_MS)
  const run = { ...inScene(scene), cwd: slow }
  const { stdout, stderr } = await scene.run('strace', [...strace, process.execPath, ...calling], run)
  const [hung, other] = JSON.parse(stdout || '[]')
  t.regex(hung.message, /^d: the daemon was not ready after \d+ ms and was ended$/, stderr)
  t.true(other.at < hung.at)
  t.true(isAlive(other.pid))
})

test('variables that JavaScript sets meanwhile do a start no harm', async t => {
  const scene = new Scene(t)
  const calling = caller('launchesWhileSettingVariables', ENVIRONMENT_ROUNDS)
  const { code, signal, stderr } = await scene.node(calling, inScene(scene))
  t.deepEqual([code, signal, stderr], [0, null, ''])
})

test('the daemon has the variables that its caller had at the call', async t => {
  const scene = new Scene(t)
  const tells = scene.write(
    'tells.mjs',
    `import { writeFileSync } from 'node:fs'
writeFileSync('${scene.path('seen')}', process.env.BEFORE + ' ' + process.env.AFTER); setInterval(() => {}, 1e6)`,
  )
  const { code, stderr } = await scene.node(caller('setsVariablesAfterTheCall', tells, []), inScene(scene))
  t.is(code, 0, stderr)
  t.is(scene.read('seen'), 'set undefined')
})

// ── Where the executable can't be executed ───────────────────────────────────────────────

const DIST = fileURLToPath(new URL('..', import.meta.url))
const EXECUTABLE = 'package/native/daemonic-supervisor'

/** Copies the package into the scene; gives its library. */
function installed(scene: Scene): string {
  for (const file of readdirSync(DIST).filter(each => /^(index|preload|cli.*)\.c?js$/.test(each)))
    cpSync(join(DIST, file), scene.path(`package/dist/${file}`))
  cpSync(join(DIST, 'src'), scene.path('package/dist/src'), { recursive: true })
  cpSync(join(dirname(DIST), 'native'), scene.path('package/native'), { recursive: true })
  scene.write('package/package.json', '{ "name": "daemonic", "type": "module" }')
  return scene.path('package/dist/index.js')
}

function replaceBy(scene: Scene, text: string): void {
  chmodSync(scene.write(EXECUTABLE, text), 0o755)
}

const BROKEN: Record<string, { breaks: (scene: Scene) => void; says: RegExp }> = {
  'is missing': {
    breaks: scene => renameSync(scene.path(EXECUTABLE), scene.path('elsewhere')),
    says: /ENOENT.*daemonic-supervisor must lie beside the addon$/,
  },
  'may not be executed': { breaks: scene => chmodSync(scene.path(EXECUTABLE), 0o644), says: /EACCES.*noexec$/ },
  'is for another system': {
    breaks: scene => replaceBy(scene, 'MZ\0\0'),
    says: /ENOEXEC, no format that this system executes; it is damaged, or for another system: install the package on this host again$/,
  },
  'exits at once': {
    breaks: scene => cpSync('/bin/false', scene.path(EXECUTABLE), { dereference: true }),
    says: /EPIPE.*exited with 1 before it did anything/,
  },
  'is of another build': {
    breaks: scene => {
      const own = readFileSync(scene.path(EXECUTABLE), 'latin1')
      writeFileSync(
        scene.path(EXECUTABLE),
        own.replaceAll(/(\d\.\d\.\d-)[0-9a-f]{16}/g, `$1${'0'.repeat(16)}`),
        'latin1',
      )
    },
    says: /it is of build \d\.\d\.\d-0{16}, this program has loaded .*: start this program again$/,
  },
}

for (const [what, { breaks, says }] of Object.entries(BROKEN)) {
  test(`an executable that ${what} is an error that says so, and nothing is left`, async t => {
    const scene = new Scene(t)
    const library = installed(scene)
    breaks(scene)
    const { stdout, stderr } = await scene.node(caller('launchesFrom', library, STAYS), inScene(scene))
    t.is(stderr, '')
    const { name, message, step } = JSON.parse(stdout)
    t.regex(message, says)
    t.deepEqual([name, step], ['SystemCallError', 'executable'])
    t.deepEqual(scene.processes(), [])
    t.deepEqual(
      scene.files().filter(file => file.startsWith('d.')),
      [],
    )
  })
}

test('an upgrade of the package while a program runs changes nothing for that program', async t => {
  const scene = new Scene(t)
  const calling = caller('launchesFrom', installed(scene), STAYS, scene.path(EXECUTABLE))
  const { stdout, stderr } = await scene.node(calling, inScene(scene))
  const { pid, message } = JSON.parse(stdout || '{}')
  t.is(message, undefined, stderr)
  t.true(isAlive(pid))
})

test('a supervisor that can’t be executed in the foreground leaves the standard streams as they were', async t => {
  const scene = new Scene(t)
  const { code, stdout, stderr } = await scene.node(caller('failsToExecuteTheSupervisor'))
  t.is(code, 0, stderr)
  t.deepEqual(JSON.parse(stdout), ['system', 'exec', true])
})
