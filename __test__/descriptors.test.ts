// Descriptors: which ones a daemon keeps, and where its standard streams go.
import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs'
import { inspect } from 'node:util'
import test, { type ExecutionContext } from 'ava'
import type { DaemonizeOptions } from 'daemonic'
import type { Programs } from './fixtures/streams.js'
import { withPython } from './support/locks.js'
import { report } from './support/probe.js'
import { startProgram } from './support/program.js'
import { refused } from './support/refused.js'
import { fixture, type Program, programs, Scene, script } from './support/scene.js'

const node = process.execPath

const streams = programs<Programs>('streams')

/** Starts a program by a bash command, in which "$@" is the program; gives the daemon's pid. */
async function startBy(scene: Scene, command: string, program: Program): Promise<number> {
  const { code, stderr } = await scene.by('bash', command, program)
  if (code !== 0) throw new Error(`${command} ended with ${code}: ${stderr}`)
  return Number(scene.read('d.pid'))
}

function descriptors(pid: number): Record<string, string> {
  return Object.fromEntries(readdirSync(`/proc/${pid}/fd`).map(fd => [fd, readlinkSync(`/proc/${pid}/fd/${fd}`)]))
}

/** Those that lead into the scene: not the pid file, which is the daemon's own. */
function ours(scene: Scene, pid: number): Record<string, string> {
  const isOurs = (target: string) => target.startsWith(scene.directory) && target !== scene.path('d.pid')
  return Object.fromEntries(Object.entries(descriptors(pid)).filter(([, target]) => isOurs(target)))
}

/** `pos` or `flags` (octal) of an open file, proc_pid_fdinfo(5). */
function fdinfo(pid: number, fd: number, line: 'pos' | 'flags'): number {
  const value =
    new RegExp(`^${line}:\\s+(\\d+)`, 'm').exec(readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'utf8'))?.[1] ?? ''
  return Number.parseInt(value, line === 'flags' ? 8 : 10)
}

/** Options as a JavaScript program may give them, and a command that opens descriptors for it. */
async function isRefused(t: ExecutionContext, options: object, says: RegExp, command: string, code = 2): Promise<void> {
  const scene = new Scene(t)
  scene.write('file', 'content')
  await refused(t, scene, () => scene.by('bash', command, streams('stays', options)), { says, code })
}

// ── preserve ─────────────────────────────────────────────────────────────────────────────

const HOW: Record<string, NonNullable<DaemonizeOptions['preserve']>> = {
  numbers: [9, 12],
  'objects with descriptors': [{ fd: 9 }, { fd: 12 }],
  // biome-ignore lint/suspicious/noSparseArray: a caller may give one
  'both, and entries that are empty': [undefined, 9, null, { fd: 12 }, , 9],
}

for (const [what, preserve] of Object.entries(HOW)) {
  test(`${what} in \`preserve\` are the same files under the same numbers, and all others close`, async t => {
    const scene = new Scene(t)
    scene.write('nine', 'content of nine')
    scene.write('other', '')
    const command = 'exec 5<other 9<nine 10<other 12>>twelve 300<other; exec "$@"'
    const pid = await startBy(scene, command, streams('preserves', preserve))
    t.deepEqual(ours(scene, pid), { 9: scene.path('nine'), 12: scene.path('twelve') })
    t.is(scene.read('twelve'), 'from the daemon')
    t.is(scene.read('told'), `content of nine true ${what === 'numbers' || what.startsWith('objects') ? 2 : 6}\n`)
  })
}

test('they are the caller’s open files, not new ones: positions are shared', async t => {
  const scene = new Scene(t)
  scene.write('nine', 'first second')
  const pid = await startBy(scene, 'exec 9<nine; read -n 6 -u 9; exec "$@"', streams('reads', 9, { preserve: [9] }))
  t.is(scene.read('told'), 'second\n')
  t.is(fdinfo(pid, 9, 'pos'), 12)
})

test('they keep clear of sockets, logs, pid file and what the start itself needs', async t => {
  const scene = new Scene(t)
  const numbers = [5, 6, 7, 8, 9, 10, 11, 13, 21]
  const listen = { a: './a.sock', b: './b.sock' }
  const options = { preserve: numbers, listen, stdout: './o', stderr: './e', ready: 'loaded' } as const
  const opened = numbers.map(fd => `${fd}>kept${fd}`).join(' ')
  const pid = await startBy(scene, `exec ${opened}; exec "$@"`, streams('stays', options))
  const kept = Object.fromEntries(numbers.map(fd => [`${fd}`, scene.path(`kept${fd}`)]))
  t.deepEqual(ours(scene, pid), { 1: scene.path('o'), 2: scene.path('e'), ...kept })
  for (const fd of ['3', '4']) t.regex(descriptors(pid)[fd] ?? '', /^socket:/)
})

test('the highest that RLIMIT_NOFILE allows can be kept, and other high ones close', async t => {
  const scene = new Scene(t)
  scene.write('high', '')
  const command =
    'ulimit -Sn $(ulimit -Hn); n=$(ulimit -n); eval "exec $((n - 1))<high $((n - 2))<high"; HIGH=$((n - 1)) exec "$@"'
  const pid = await startBy(scene, command, streams('preservesWhatHighSays'))
  const high = Object.keys(ours(scene, pid))
  t.is(high.length, 1)
  const limit = /^Max open files\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/limits`, 'utf8'))?.[1]
  t.is(Number(high[0]), Number(limit) - 1)
})

const BAD_PRESERVE: [options: object, says: RegExp][] = [
  [{ preserve: [77] }, /The `preserve` option names descriptor 77, which is not open/],
  [
    { preserve: [9, 3], listen: { web: './d.sock' } },
    /`preserve` option names descriptor 3, which a socket of `listen` will have/,
  ],
  [{ preserve: [{ fd: 9 }, { fd: 77 }] }, /descriptor 77, which is not open/],
  [{ preserve: 9 }, /`preserve` option to be an array of descriptors, got 9/],
  [{ preserve: [9, -1] }, /`preserve\.1` option to be a whole number from 0 .*, got -1/],
  [{ preserve: [null, '9'] }, /`preserve\.1` option to be .* got '9'/],
  [{ preserve: [{}] }, /`preserve\.0` option to be .* got undefined/],
  [{ preserve: [9.5] }, /`preserve\.0` option to be .* got 9\.5/],
  [{ preserve: [2 ** 31] }, /`preserve\.0` option to be .* got 2147483648/],
]

for (const [options, says] of BAD_PRESERVE) {
  test(`${inspect(options, { breakLength: Infinity })} is refused`, t =>
    isRefused(t, options, says, 'exec 9<file 3<file; exec "$@"'))
}

// ── Standard streams ─────────────────────────────────────────────────────────────────────

for (const [what, stdin, stdout] of [
  ['a number', 8, 9],
  ['an object with a descriptor', { fd: 8 }, { fd: 9 }],
] as const) {
  test(`${what} is a target: the caller’s open file, which stays open until then`, async t => {
    const scene = new Scene(t)
    scene.write('in', 'input')
    const reading = streams('readsAndWritesToBoth', { stdin, stdout, stderr: stdout })
    const pid = await startBy(scene, 'exec 8<in 9>out; exec "$@"', reading)
    t.deepEqual(ours(scene, pid), { 0: scene.path('in'), 1: scene.path('out'), 2: scene.path('out') })
    t.is(scene.read('told'), 'input\n')
    t.is(scene.read('out'), 'out err')
  })
}

const TARGETS: Record<string, (scene: Scene) => DaemonizeOptions> = {
  '`log`': () => ({ log: './both' }),
  'one path twice': scene => ({ stdout: './both', stderr: scene.path('both') }),
  'one path in two forms': () => ({ stdout: './both', stderr: { path: './missing/../both' } }),
}

for (const [what, options] of Object.entries(TARGETS)) {
  test(`${what} is one open file for both outputs`, async t => {
    const scene = new Scene(t)
    const pid = await startProgram(scene, streams('writesToBoth', options(scene)))
    t.is(scene.read('both'), 'out err')
    // Two open files would each have a position of their own.
    t.deepEqual([fdinfo(pid, 1, 'pos'), fdinfo(pid, 2, 'pos')], [7, 7])
    const [O_WRONLY, O_APPEND, O_ACCMODE] = [1, 0o2000, 3]
    t.is(fdinfo(pid, 1, 'flags') & (O_ACCMODE | O_APPEND), O_WRONLY | O_APPEND)
  })
}

test('a file is truncated if that is asked for, else appended to; its mode is for a new one', async t => {
  const scene = new Scene(t)
  for (const file of ['cut', 'kept']) scene.write(file, 'earlier ')
  const stdout = { path: './cut', truncate: true, mode: 0o600 }
  await startProgram(scene, streams('printsToBoth', { stdout, stderr: './kept', stdin: './kept' }))
  t.is(scene.read('cut'), 'out\n')
  t.is(scene.read('kept'), 'earlier err\n')
  t.is(statSync(scene.path('cut')).mode & 0o7777, 0o644)
  const other = new Scene(t)
  await startProgram(other, streams('stays', { stdout: { path: './new', mode: 0o606 }, stderr: './usual' }))
  t.deepEqual(
    ['new', 'usual'].map(file => (statSync(other.path(file)).mode & 0o7777).toString(8)),
    ['606', '640'],
  )
})

const BAD_STREAMS: [options: object, says: RegExp][] = [
  [{ stdin: 9 }, /The `stdin` option names descriptor 9, which is open to write only/],
  [{ stdout: 8 }, /The `stdout` option names descriptor 8, which is open to read only/],
  [{ log: { fd: 8 } }, /The `log` option names descriptor 8, which is open to read only/],
  [{ stderr: { fd: 77 } }, /The `stderr` option names descriptor 77, which is not open/],
  [{ stdin: { fd: '9' } }, /`stdin` option names descriptor 9, which is not open|got '9'/],
  [{ stdin: 7 }, /descriptor 7, a directory/],
  [{ stdin: 'inherit-unless-tty' }, /`stdin` option to be 'ignore' or 'inherit' or a path, got 'inherit-unless-tty'/],
  [{ stdout: 'console' }, /`stdout` option to be .*'inherit-unless-tty' or a path, got 'console'.* '\.\/console'/],
  [{ log: { path: './x', fd: 9 } }, /fd/],
]

const UNOPENABLE: typeof BAD_STREAMS = [
  [{ stdin: './missing' }, /cannot open the standard input .*\/missing: ENOENT/],
  [{ log: './link' }, /cannot open the log .*\/link \(stdout, stderr\): ELOOP, .* it is a symbolic link to file/],
  [{ stdin: './link' }, /cannot open the standard input .*\/link: ELOOP/],
  [{ log: './fifo' }, /cannot open the log .*\/fifo .*ENXIO/],
  [{ log: './directory' }, /cannot open the log .*\/directory .*EISDIR/],
]

for (const [refusals, code] of [
  [BAD_STREAMS, 2],
  [UNOPENABLE, 1],
] as const) {
  for (const [options, says] of refusals) {
    test(`${inspect(options, { breakLength: Infinity })} is refused`, t => {
      const make = 'ln -s file link; mkfifo fifo; mkdir directory; trap "rm -r link fifo directory" EXIT'
      return isRefused(t, options, says, `${make}; exec 7<. 8<file; exec 9>>file; "$@"`, code)
    })
  }
}

test('a fifo that nobody writes to yet is not waited for as stdin', async t => {
  const scene = new Scene(t)
  await scene.run('mkfifo', ['fifo'])
  const argv = [node, ...streams('stays', { stdin: './fifo', startTimeout: 30_000 })]
  const { code, stderr } = await scene.run('timeout', ['-s', 'KILL', '40', ...argv])
  t.is(code, 0, stderr)
  t.is(readlinkSync(`/proc/${Number(scene.read('d.pid'))}/fd/0`), scene.path('fifo'))
})

// ── 'inherit' ────────────────────────────────────────────────────────────────────────────

for (const [option, expected] of [
  ['inherit', 'once\nout\nerr\n'],
  ['inherit-unless-tty', 'once\nout\nerr\n'],
  ['ignore', 'once\n'],
] as const) {
  test(`'${option}' with redirected outputs: the launcher’s lines once, and ${expected.includes('out') ? 'the' : 'none of the'} daemon’s`, async t => {
    const scene = new Scene(t)
    const pid = await startBy(scene, '"$@" >> all 2>&1', streams('printsOnceAndThenToBoth', { log: option }))
    await scene.until('it has written', () => scene.exists('done'))
    t.is(scene.read('all'), expected)
    t.is(descriptors(pid)[1], option === 'ignore' ? '/dev/null' : scene.path('all'))
  })
}

test("'inherit' keeps all three, a pipe's other end too", async t => {
  const scene = new Scene(t)
  // Node closes the pipe to a child that has ended: the shell stays.
  const argv = [node, ...streams('answersItsInput', { stdin: 'inherit', log: 'inherit' })]
  const shell = ['-c', '"$@"; touch started; sleep 1000', 'sh', ...argv]
  const child = scene.spawn('sh', shell, { stdio: ['pipe', 'pipe', 'inherit'] })
  let heard = ''
  child.stdout?.setEncoding('utf8').on('data', data => (heard += data))
  await scene.until('the launcher has ended', () => scene.exists('started'))
  child.stdin?.write('something')
  await scene.until('the daemon has answered', () => heard === 'got something')
  t.true(scene.exists('d.pid'))
})

/** Runs the probe on a terminal of its own; gives its descriptors. */
async function onTerminal(scene: Scene, options: object, redirection = ''): Promise<Record<string, string> | null> {
  if ((await scene.run('sh', ['-c', 'command -v script'])).code !== 0) return null
  const env = { PROBE: JSON.stringify(options), REPORT: scene.path('report.json') }
  // It lives as long as somebody may write to its terminal.
  scene.spawn('script', ['-qec', `'${node}' '${fixture('probe')}' ${redirection}; sleep 1000`, '/dev/null'], { env })
  return (await report(scene)).descriptors
}

const TERMINALS: [options: object, redirection: string, targets: RegExp[]][] = [
  [{ log: 'inherit-unless-tty' }, '', [/^\/dev\/null$/, /^\/dev\/null$/, /^\/dev\/null$/]],
  [{ log: 'inherit-unless-tty' }, '2>>err', [/^\/dev\/null$/, /^\/dev\/null$/, /\/err$/]],
  [{ log: 'inherit-unless-tty' }, '>>out', [/^\/dev\/null$/, /\/out$/, /^\/dev\/null$/]],
  [{ stdin: 'inherit', log: 'inherit' }, '', [/^\/dev\/pts\//, /^\/dev\/pts\//, /^\/dev\/pts\//]],
]

for (const [options, redirection, targets] of TERMINALS) {
  test(`${inspect(options)} on a terminal${redirection && `, with ${redirection}`}: ${targets.map(each => each.source)}`, async t => {
    const scene = new Scene(t)
    const found = await onTerminal(scene, options, redirection)
    if (found === null) {
      t.pass('skipped: there is no script(1) to make a terminal with')
      return
    }
    for (const [fd, target] of targets.entries()) t.regex(found[fd] ?? '', target, `descriptor ${fd}`)
  })
}

withPython('a log that is a terminal does not become the controlling one', async t => {
  const scene = new Scene(t)
  const argv = [script('with-terminal.py'), node, ...streams('logsToTheTerminal')]
  const { code, stderr } = await scene.run('python3', argv)
  t.is(code, 0, stderr)
  const stat = readFileSync(`/proc/${Number(scene.read('d.pid'))}/stat`, 'latin1')
  t.is(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[4], '0')
})
