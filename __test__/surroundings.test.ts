// Where a daemon is started from, and what of that it does not take along.
import { once } from 'node:events'
import { mkdirSync, statSync } from 'node:fs'
import test from 'ava'
import type { Programs as Launchers } from './fixtures/launchers.js'
import type { Programs } from './fixtures/streams.js'
import { launchProbe, probe, type Report, report } from './support/probe.js'
import { startProgram } from './support/program.js'
import { fixture, programs, type RunOptions, Scene } from './support/scene.js'

const node = process.execPath
const streams = programs<Programs>('streams')
const launchers = programs<Launchers>('launchers')

/** The probe, started by a command whose "$0" is node and "$1" the program. */
async function probeBy(scene: Scene, shell: string, command: string, run: RunOptions = {}): Promise<Report> {
  const env = { PROBE: '{}', REPORT: scene.path('report.json'), ...run.env }
  const { code, stderr } = await scene.run(shell, ['-c', command, node, fixture('probe')], { ...run, env })
  if (code !== 0) throw new Error(`${command} ended with ${code}: ${stderr}`)
  return report(scene)
}

/** What isn't /dev/null or Node's own. */
const foreign = ({ descriptors }: Report) =>
  Object.values(descriptors).filter(target => !/^(\/dev\/null|anon_inode:.*|pipe:.*|\/proc\/.*)$/.test(target))

// ── Descriptors ──────────────────────────────────────────────────────────────────────────

test('a caller may have closed stdin, stdout and stderr', async t => {
  const daemon = await probeBy(new Scene(t), 'sh', 'exec "$0" "$1" <&- >&- 2>&-')
  for (const fd of [0, 1, 2]) t.is(daemon.descriptors[fd], '/dev/null')
  t.deepEqual(foreign(daemon), [])
})

test('an error of a launcher whose streams are closed ends it with its exit code, and nothing is left', async t => {
  const scene = new Scene(t)
  const { code } = await scene.by('sh', 'exec "$@" <&- >&- 2>&-', streams('exits', { log: './d.log' }, 7))
  t.is(code, 7)
  t.deepEqual(scene.processes(), [])
  t.deepEqual(scene.files(), [])
})

test('descriptors that a caller leaked, however high, are in neither the daemon nor its children', async t => {
  const scene = new Scene(t)
  scene.write('leaked', '')
  const leak = 'ulimit -n 1100 && exec 9<leaked 40<leaked 200<leaked 1000<leaked && exec "$@"'
  const { code, stderr } = await scene.by('bash', leak, streams('tellsWhatItAndItsChildrenHave'))
  t.is(code, 0, stderr)
  const told: Record<'own' | 'earlier' | 'later', string[]> = JSON.parse(scene.read('told'))
  t.false(told.own.includes(scene.path('leaked')))
  t.is(told.own.filter(target => target.startsWith('socket:')).length, 3, `two and the channel: ${told.own}`)
  // The library has not run yet when the earlier child starts: Node's own care must have been enough.
  for (const children of [told.earlier, told.later])
    t.deepEqual(
      children.filter(target => target.startsWith('socket:') || target.includes(scene.directory)),
      [],
    )
})

test('as many descriptors as the host allows make no difference', async t => {
  const scene = new Scene(t)
  const daemon = await probeBy(scene, 'bash', 'ulimit -Sn $(ulimit -Hn) && exec 500<"$1" && exec "$0" "$1"')
  t.deepEqual(foreign(daemon), [])
})

// ── Directories and modes ────────────────────────────────────────────────────────────────

test('a start in a directory that was removed fails by name', async t => {
  const scene = new Scene(t)
  mkdirSync(scene.path('gone'))
  const staying = streams('stays', { pidFile: scene.path('d.pid') })
  const { code, stderr } = await scene.by('sh', 'rmdir ../gone; exec "$@"', staying, { cwd: scene.path('gone') })
  t.not(code, 0)
  t.regex(stderr, /ENOENT/)
  t.deepEqual(scene.processes(), [])
  t.deepEqual(scene.files(), [])
})

test('so it does where it is removed just before the call', async t => {
  const scene = new Scene(t)
  mkdirSync(scene.path('gone'))
  const gone = scene.path('gone')
  const { code, stderr } = await scene.node(streams('removesItsDirectory', gone), { cwd: gone })
  t.regex(stderr, /cannot change to the directory .*\/gone: ENOENT, no such file or directory\n$/)
  t.is(code, 1)
  t.deepEqual(scene.processes(), [])
  t.deepEqual(scene.files(), [])
})

for (const umask of ['077', '000']) {
  test(`a caller’s umask ${umask} changes no mode`, async t => {
    const scene = new Scene(t)
    const { code } = await scene.by('sh', `umask ${umask}; exec "$@"`, streams('stays', { log: './d.log' }))
    t.is(code, 0)
    const modes = ['d.log', 'd.pid', 'd.json'].map(file => (statSync(scene.path(file)).mode & 0o777).toString(8))
    t.deepEqual(modes, ['640', '644', '600'])
  })
}

// ── Signals ──────────────────────────────────────────────────────────────────────────────

test('signals that a caller ignores or blocks are as in any other daemon', async t => {
  const scene = new Scene(t)
  const usual = await probe(new Scene(t))
  const command = `trap '' PIPE HUP INT TERM CHLD USR1 ALRM; exec env --block-signal=TERM,HUP,CHLD "$0" "$1"`
  const unusual = await probeBy(scene, 'bash', command)
  for (const mask of ['SigBlk', 'SigIgn', 'SigCgt']) t.is(unusual.status[mask], usual.status[mask], mask)
  process.kill(unusual.pid, 'SIGTERM')
  await scene.empty()
})

// ── Where 'auto' detaches ────────────────────────────────────────────────────────────────

// `setsid`: the test's own session may be led by pid 1, as in a container, where a daemon stays.
const DETACHING: Record<string, string> = {
  'an ordinary command': 'setsid -w sh -c \'"$0" "$1"; exit $?\' "$0" "$1"',
  'the leader of a session': 'setsid -w "$0" "$1"',
  nohup: 'setsid -w nohup "$0" "$1"',
  'a shell that exits at once': 'setsid -w sh -c \'"$0" "$1" & exit 0\' "$0" "$1"',
  'a pseudo-terminal': "script -qec \"'$0' '$1'\" /dev/null",
}

for (const [what, command] of Object.entries(DETACHING)) {
  test(`${what} detaches`, async t => {
    const scene = new Scene(t)
    if (what === 'a pseudo-terminal' && (await scene.run('sh', ['-c', 'command -v script'])).code !== 0) {
      t.pass('skipped: there is no script(1) to make a terminal with')
      return
    }
    const daemon = await probeBy(scene, 'sh', command, { detach: 'auto' })
    t.true(daemon.detached)
    t.is(daemon.tty, null)
    t.is(daemon.pgid, daemon.pid)
    t.not(daemon.sid, daemon.pid)
    await scene.until('its starters have ended', () => scene.processes().length === 1)
    t.deepEqual(scene.processes(), [daemon.pid])
  })
}

test('a Node parent that pipes all three streams detaches', async t => {
  const scene = new Scene(t)
  const env = { PROBE: '{}', REPORT: scene.path('report.json') }
  const stdio: RunOptions['stdio'] = ['pipe', 'pipe', 'pipe']
  const launcher = scene.spawn('setsid', ['-w', node, fixture('probe')], { detach: 'auto', env, stdio })
  launcher.stdout?.resume()
  launcher.stderr?.resume()
  const [code] = await once(launcher, 'close')
  t.is(code, 0)
  const daemon = await report(scene)
  t.true(daemon.detached)
  t.deepEqual(foreign(daemon), [])
})

// ── Where it stays ───────────────────────────────────────────────────────────────────────

const STAYING: Record<string, { flags?: string[]; stdio?: RunOptions['stdio'] }> = {
  'node --test': { flags: ['--test'] },
  'node --watch': { flags: ['--watch'] },
  'a debugger': { flags: ['--inspect=0'] },
  'a parent with a channel': { stdio: ['ignore', 'pipe', 'pipe', 'ipc'] },
}

for (const [what, { flags = [], stdio }] of Object.entries(STAYING)) {
  test(`under ${what} it stays`, async t => {
    const scene = new Scene(t)
    const run: RunOptions = { detach: 'auto', env: { PROBE: '{}', REPORT: scene.path('report.json') } }
    const parent = scene.spawn('setsid', ['-w', node, ...flags, fixture('probe')], stdio ? { ...run, stdio } : run)
    parent.stdout?.resume()
    parent.stderr?.resume()
    const daemon = await report(scene)
    t.false(daemon.detached)
    t.is(daemon.cwd, scene.directory)
    t.is(parent.exitCode, null)
    process.kill(daemon.pid, 'SIGTERM')
    await scene.until('it has ended', () => !scene.processes().includes(daemon.pid))
  })
}

test('DAEMONIC_DETACH=true detaches all the same, and closes the launcher’s debugger for the daemon’s', async t => {
  const scene = new Scene(t)
  const daemon = await probe(scene, {}, { execArgv: ['--inspect=0'], detach: 'true' })
  t.true(daemon.detached)
  t.deepEqual(daemon.execArgv, ['--inspect=0'])
})

test('`detach: false` stays, and true detaches, whatever the environment says', async t => {
  const scene = new Scene(t)
  const { code, stdout } = await scene.node(launchers('printsWhetherItDetached', { detach: false }))
  t.is(code, 0)
  t.is(stdout, 'false\n')
  const other = new Scene(t)
  const detaching = launchers('tellsWhetherItDetached', { detach: true, pidFile: './d.pid' })
  await startProgram(other, detaching, { detach: 'false' })
  t.is(other.read('told'), 'true\n')
  t.is((await launchProbe(new Scene(t), { detach: true }, { detach: 'auto' })).code, 0)
})
