// Errors of this library that nobody catches: one paragraph, and the exit code that the error has.
import { symlinkSync } from 'node:fs'
import test from 'ava'
import { LIBRARY } from './support/program.js'
import { Scene } from './support/scene.js'

interface Case {
  /** What follows `await` in a module, or is returned to nobody. */
  call: string
  code: number
  says: RegExp
}

const OPTION = (message: string) =>
  new RegExp(`^OptionError: ${message}\n(?: {4}at [^\n]*/program\\.[cm]js:\\d+:\\d+\\)?\n)+$`)

/** Calls that fail; each of them, in a scene with a lock of the test's own at taken.pid. */
const CASES: Record<string, Case> = {
  'daemonize(), a wrong option': {
    call: `daemonize({ listen: { http: { port: 'x' } } })`,
    code: 2,
    says: OPTION("Expected the `listen\\.http\\.port` option to be .*, got 'x'"),
  },
  'daemonize(), a running daemon': {
    call: `daemonize({ name: 'd', pidFile: './taken.pid' })`,
    code: 1,
    says: /^d: already running as pid \d+ \(.*\/taken\.pid\)\n$/,
  },
  'launch(), a wrong option': {
    call: `launch('./program.mjs', { nic: 3 })`,
    code: 2,
    says: OPTION('Unknown option `nic`; did you mean `nice`\\?'),
  },
  'launch(), no such program': {
    call: `launch('./nowhere.mjs')`,
    code: 127,
    says: /^cannot execute .*\/nowhere\.mjs: ENOENT, no such file or directory\n$/,
  },
  'launch(), a program that fails': {
    call: `launch('./fails.mjs', { pidFile: false })`,
    code: 9,
    says: /^fails: the daemon exited with 9 before it was ready; it wrote:\n {4}no database\n$/,
  },
  'connect()': { call: `connect('./none.pid', 'http')`, code: 7, says: /^not running \(.*\/none\.pid\)\n$/ },
  'signal()': { call: `signal('./none.pid', 'SIGHUP')`, code: 7, says: /^not running \(.*\/none\.pid\)\n$/ },
  'reload()': { call: `reload('./none.pid')`, code: 7, says: /^not running \(.*\/none\.pid\)\n$/ },
  'reopenLogs()': { call: `reopenLogs('./none.pid')`, code: 7, says: /^not running \(.*\/none\.pid\)\n$/ },
  'stop(), a wrong option': {
    call: `stop('./taken.pid', { signal: 'SIGNONE' })`,
    code: 2,
    says: OPTION("Unknown signal 'SIGNONE'"),
  },
  'stop(), a pid file that is a link': {
    call: `stop('./link.pid')`,
    code: 1,
    says: /^[^\n]*ELOOP[^\n]*\n$/,
  },
  'status()': { call: `status('./link.pid')`, code: 1, says: /^[^\n]*ELOOP[^\n]*\n$/ },
  'PidLock.acquire()': {
    call: `PidLock.acquire('./taken.pid')`,
    code: 1,
    says: /^already running as pid \d+ \(.*\/taken\.pid\)\n$/,
  },
  'PidLock.wait()': {
    call: `PidLock.wait('./taken.pid', { timeout: -1 })`,
    code: 2,
    says: OPTION('Expected the `timeout` option to be .*'),
  },
}

const NAMES = 'daemonize, launch, connect, signal, reload, reopenLogs, stop, status, PidLock'

/** Programs in which the call is not caught. */
const PROGRAMS: Record<string, (call: string) => [name: string, text: string]> = {
  'awaited in a module': call => ['program.mjs', `import { ${NAMES} } from '${LIBRARY}'\nawait ${call}`],
  'not awaited, in CommonJS': call => [
    'program.cjs',
    `import('${LIBRARY}').then(({ ${NAMES} }) => { setTimeout(() => {}, 5_000); setImmediate(() => void ${call}) })`,
  ],
}

for (const [what, { call, code, says }] of Object.entries(CASES)) {
  test(`${what}: uncaught, its error is one paragraph`, async t => {
    const scene = new Scene(t)
    scene.write('fails.mjs', `console.error('no database')\nprocess.exit(9)`)
    scene.write('taken.pid', '')
    symlinkSync(scene.path('taken.pid'), scene.path('link.pid'))
    const owner = scene.spawnNode([
      scene.write(
        'owner.mjs',
        `import { PidLock } from '${LIBRARY}'\nPidLock.acquire('./taken.pid')\nsetInterval(() => {}, 1e6)`,
      ),
    ])
    await scene.until('the pid file is taken', () => scene.read('taken.pid') === `${owner.pid}\n`)
    for (const [how, program] of Object.entries(PROGRAMS)) {
      const result = await scene.node(scene.write(...program(call)))
      t.regex(result.stderr, says, how)
      t.is(result.code, code, how)
      t.is(result.stdout, '', how)
    }
  })
}

test('an OptionError tells the program’s line however deep in the library it was found', async t => {
  const scene = new Scene(t)
  const text = `import { daemonize } from '${LIBRARY}'\nError.stackTraceLimit = 1\ndaemonize({ umask: 'x' })`
  const { stderr } = await scene.node(scene.write('program.mjs', text))
  t.regex(stderr, /^OptionError: .*\n {4}at file:.*\/program\.mjs:3:1\n$/)
})

test('a worker thread’s error is its ‘error’ event’s', async t => {
  const scene = new Scene(t)
  scene.write('thread.mjs', `import { connect } from '${LIBRARY}'\nawait connect('./none.pid', 'http')`)
  const text = `import { Worker } from 'node:worker_threads'
    new Worker('./thread.mjs').on('error', ({ message, code }) => console.log(code, message))`
  const { code, stdout, stderr } = await scene.node(scene.write('program.mjs', text))
  t.regex(stdout, /^ERR_DAEMON_NOT_RUNNING not running \(.*\/none\.pid\)\n$/)
  t.is(stderr, '')
  t.is(code, 0)
})

test('a program that handles rejections itself is given ours', async t => {
  const scene = new Scene(t)
  const text = `import { connect } from '${LIBRARY}'
    process.on('unhandledRejection', ({ code }) => { console.log(code); process.exitCode = 42 })
    void connect('./none.pid', 'http')`
  const { code, stdout, stderr } = await scene.node(scene.write('program.mjs', text))
  t.deepEqual([stdout, stderr, code], ['ERR_DAEMON_NOT_RUNNING\n', '', 42])
})
