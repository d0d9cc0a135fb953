// What options may not be: every error names the option, and comes before anything is made.
import { openSync } from 'node:fs'
import { inspect } from 'node:util'
import test from 'ava'
import type { DaemonizeOptions } from 'daemonic'
import { OptionError } from '../src/errors/classes.js'
import { checkLaunch } from '../src/launch.js'
import { normalise } from '../src/options/normalise.js'
import { DAEMONIZE_OPTIONS, LAUNCH_OPTIONS, MONITOR_OPTIONS } from '../src/options/table.js'
import type { Programs } from './fixtures/launchers.js'
import { programs, Scene } from './support/scene.js'

/** Values as a JavaScript program may give them: the option that is to be named, what is given, what is said of it. */
const BAD: [option: string, given: Record<string, unknown>, says: RegExp][] = [
  ['name', { name: '' }, /letters, digits/],
  ['name', { name: 'a/b' }, /got 'a\/b'/],
  ['name', { name: '..' }, /got '\.\.'/],
  ['name', { name: 'x'.repeat(65) }, /at most 64/],
  ['name', { name: 7 }, /got 7/],
  ['name', { name: null }, /got null/],
  ['instance', { instance: '' }, /a string, got ''/],
  ['instance', { instance: 7 }, /got 7/],
  ['detach', { detach: 'yes' }, /true, false or 'auto', got 'yes'/],
  ['detach', { detach: 'atuo' }, /did you mean `auto`/],
  ['detach', { detach: 1 }, /got 1/],
  ['detach', { detach: null }, /got null/],
  ['chdir', { chdir: true }, /a path or false, got true/],
  ['chdir', { chdir: '' }, /got ''/],
  ['chdir', { chdir: 'a\0b' }, /a path or false/],
  ['umask', { umask: '022' }, /got '022': write 0o22/],
  ['umask', { umask: '0o077' }, /write 0o077/],
  ['umask', { umask: -1 }, /from 0 to 0o777/],
  ['umask', { umask: 0o1000 }, /from 0 to 0o777/],
  ['umask', { umask: 1.5 }, /got 1\.5/],
  ['umask', { umask: Number.NaN }, /got NaN/],
  ['umask', { umask: true }, /got true/],
  ['umask', { umask: null }, /got null/],
  ['chroot', { chroot: '' }, /a path, got ''/],
  ['user', { user: -1 }, /a name or an id, got -1/],
  ['user', { user: '' }, /a name or an id, got ''/],
  ['group', { group: null }, /a name or an id, got null/],
  ['groups', { groups: 'staff' }, /an array of names and ids/],
  ['groups.1', { groups: [0, 1.5] }, /got 1\.5/],
  ['stdin', { stdin: 'inherti' }, /did you mean `inherit`/],
  ['stdin', { stdin: {} }, /got an object/],
  ['stdin', { stdin: 77 }, /descriptor 77, which is not open/],
  ['stdin', { stdin: -1 }, /descriptor -1, which is not open/],
  ['log', { log: 'ignroe' }, /got 'ignroe'; did you mean `ignore`\? \(a file of that name is '\.\/ignroe'\)/],
  ['log', { log: 'inherit-unless-ty' }, /did you mean `inherit-unless-tty`/],
  ['log', { log: false }, /got false/],
  ['log', { log: '' }, /got ''/],
  ['stdout', { stdout: true }, /got true/],
  ['stdout', { stdout: 'applog' }, /a file of that name is '\.\/applog'/],
  ['stdout.path', { stdout: [] }, /a path, got undefined/],
  ['stdout.path', { stdout: {} }, /a path, got undefined/],
  ['stdout.mode', { stdout: { path: './x', mode: '640' } }, /got '640': write 0o640/],
  ['stdout.mode', { stdout: { path: './x', mode: 0o10000 } }, /from 0 to 0o7777/],
  ['stdout.truncate', { stdout: { path: './x', truncate: 'yes' } }, /true or false/],
  ['stdout.trunkate', { stdout: { path: './x', trunkate: true } }, /did you mean `truncate`/],
  ['stderr', { stderr: 77 }, /descriptor 77, which is not open/],
  ['stderr', { stderr: 1.5 }, /descriptor 1\.5/],
  ['listen', { listen: [80] }, /an object, got an array/],
  ['listen', { listen: 80 }, /an object, got 80/],
  ['listen', { listen: null }, /an object, got null/],
  ['listen.a b', { listen: { 'a b': 80 } }, /letters, digits/],
  ['listen.http', { listen: { http: 65_536 } }, /from 0 to 65535/],
  ['listen.http', { listen: { http: -1 } }, /from 0 to 65535/],
  ['listen.http', { listen: { http: 'localhost' } }, /a port, ':PORT', 'HOST:PORT'/],
  ['listen.http', { listen: { http: '' } }, /a port, ':PORT'/],
  ['listen.http', { listen: { http: '::1:80' } }, /'\[IPV6\]:PORT'/],
  ['listen.http', { listen: { http: 'localhost:99999' } }, /from 0 to 65535, got 99999/],
  ['listen.http', { listen: { http: true } }, /got true/],
  ['listen.http', { listen: { http: {} } }, /a `port` or a `path`/],
  ['listen.http', { listen: { http: { port: 1, path: '/x' } } }, /a `port` or a `path`/],
  ['listen.http', { listen: { http: { host: 'x', path: '/x' } } }, /a `host` or a `path`/],
  ['listen.http.port', { listen: { http: { port: '80' } } }, /got '80'/],
  ['listen.http.host', { listen: { http: { port: 80, host: '' } } }, /a host/],
  ['listen.http.mode', { listen: { http: { path: '/x', mode: '600' } } }, /write 0o600/],
  ['listen.http.backlog', { listen: { http: { port: 80, backlog: 0 } } }, /from 1 to/],
  ['listen.http.ipv6Only', { listen: { http: { port: 80, ipv6Only: 1 } } }, /true or false/],
  ['listen.http.reusePort', { listen: { http: { port: 80, reusePort: 'x' } } }, /true or false/],
  ['listen.http.udp', { listen: { http: { port: 80, udp: null, host: 'x' } } }, /true or false/],
  ['listen.http.prot', { listen: { http: { prot: 80 } } }, /did you mean `port`/],
  ['preserve', { preserve: 7 }, /an array of descriptors/],
  ['preserve.0', { preserve: [1] }, /stdin, stdout, stderr/],
  ['preserve', { preserve: [77] }, /descriptor 77, which is not open/],
  ['limits', { limits: 'unlimited' }, /an object, got 'unlimited'/],
  ['limits.nofiles', { limits: { nofiles: 1 } }, /did you mean `nofile`/],
  ['limits.core', { limits: { core: -1 } }, /or 'unlimited', got -1/],
  ['limits.core', { limits: { core: 'infinity' } }, /got 'infinity'/],
  ['limits.core', { limits: { core: null } }, /got null/],
  ['limits.core', { limits: { core: { soft: 2, hard: 1 } } }, /a soft limit not above the hard one/],
  ['limits.core', { limits: { core: { soft: 'unlimited', hard: 1 } } }, /a soft limit not above the hard one/],
  ['limits.core.hard', { limits: { core: { soft: 1, hard: '2' } } }, /got '2'/],
  ['limits.core.hart', { limits: { core: { soft: 1, hart: 2 } } }, /did you mean `hard`/],
  ['nice', { nice: 20 }, /from -20 to 19/],
  ['nice', { nice: '5' }, /got '5'/],
  ['oomScoreAdjust', { oomScoreAdjust: -1001 }, /from -1000 to 1000/],
  ['noNewPrivileges', { noNewPrivileges: 1 }, /true or false/],
  ['signals', { signals: ['SIGTERM'] }, /an object/],
  ['signals.SIGTREM', { signals: { SIGTREM: 'stop' } }, /did you mean `SIGTERM`/],
  ['signals.SIGKILL', { signals: { SIGKILL: 'stop' } }, /SIGKILL can't be mapped/],
  ['signals.SIGSTOP', { signals: { SIGSTOP: 'ignore' } }, /can't be mapped/],
  ['signals.SIGCHLD', { signals: { SIGCHLD: 'ignore' } }, /can't be mapped/],
  ['signals.SIGTERM', { signals: { SIGTERM: 'stopp' } }, /did you mean `stop`/],
  ['signals.SIGTERM', { signals: { SIGTERM: 15 } }, /got 15/],
  ['env', { env: ['A=b'] }, /an object, got an array/],
  ['env.A', { env: { A: 1 } }, /a string without NUL, or undefined, got 1/],
  ['env.A', { env: { A: 'a\0b' } }, /without NUL/],
  ['env.A=B', { env: { 'A=B': '' } }, /named without = and NUL/],
  ['env.', { env: { '': '' } }, /named without/],
  ['pidFile', { pidFile: 7 }, /true or a path, got 7/],
  ['pidFile', { pidFile: '' }, /true or a path/],
  ['pidFile', { pidFile: null }, /got null/],
  ['pidFile', { pidFile: 'a\0b' }, /true or a path/],
  ['pidFile.path', { pidFile: { path: true } }, /got true/],
  ['pidFile.path', { pidFile: {} }, /got undefined/],
  ['pidFile.mode', { pidFile: { path: './x', mode: 8 ** 5 } }, /from 0 to 0o7777/],
  ['pidFile.mod', { pidFile: { path: './x', mod: 1 } }, /did you mean `mode`/],
  ['ready', { ready: 'manuel' }, /'auto', 'loaded' or 'manual', got 'manuel'; did you mean `manual`/],
  ['ready', { ready: true }, /got true/],
  ['ready', { ready: null }, /got null/],
  ['idleTimeout', { idleTimeout: 0 }, /milliseconds above 0/],
  ['monitor', { monitor: 'yes' }, /an object, got 'yes'/],
  ['monitor.restart', { monitor: { restart: 'allways' } }, /did you mean `always`/],
  ['monitor.maxDelay', { monitor: { maxDelay: '10' } }, /or a time as '500ms', '30s' or '5m', got '10'/],
  ['monitor.maxMemory', { monitor: { maxMemory: '300X' } }, /bytes from 1, or a size as '512M', got '300X'/],
  ['monitor.maxFailures', { monitor: { maxFailures: 0 } }, /from 1 to/],
  ['monitor.settle', { monitor: { settle: -1 } }, /got -1/],
  ['monitor.watchDog', { monitor: { watchDog: 1 } }, /did you mean `watchdog`/],
  ['workers', { workers: 0 }, /from 1 to 1024 or 'cpus'/],
  ['workers', { workers: 'cpu' }, /did you mean `cpus`/],
  ['startTimeout', { startTimeout: null }, /got null/],
  ['startTimeout', { startTimeout: 0 }, /milliseconds above 0/],
  ['startTimeout', { startTimeout: '1 s' }, /got '1 s'/],
  ['startTimeout', { startTimeout: Number.POSITIVE_INFINITY }, /at most/],
  ['startTimeout', { startTimeout: Number.NaN }, /got NaN/],
  ['stopTimeout', { stopTimeout: -1 }, /milliseconds above 0/],
  ['stopTimeout', { stopTimeout: 2 ** 31 }, /at most 2\*\*31 - 1/],
  ['pidfile', { pidfile: true }, /Unknown option `pidfile`; did you mean `pidFile`/],
  ['stdOut', { stdOut: 'ignore' }, /did you mean `stdout`/],
  ['start_timeout', { start_timeout: 1 }, /did you mean `startTimeout`/],
  [
    'workdir',
    { workdir: '/' },
    /Unknown option `workdir`; there are 'name', .*'instance', 'detach', .* or 'drainTimeout'/,
  ],
]

for (const [option, given, says] of BAD) {
  test(`${inspect(given, { breakLength: Infinity })} is refused`, t => {
    const error = t.throws(() => normalise(given as DaemonizeOptions), { instanceOf: OptionError })
    t.is(error?.option, option)
    t.is(error?.code, 'ERR_DAEMON_OPTION')
    t.is(error?.exitCode, 2)
    t.regex(error?.message ?? '', says)
    t.true(error?.message.includes(`\`${option}\``), error?.message)
  })
}

for (const given of [null, 'x', 7, [], () => {}]) {
  test(`options that are ${inspect(given)} are refused`, t => {
    t.throws(() => normalise(given as never), { instanceOf: OptionError, message: /the options to be an object/ })
  })
}

test('descriptors must allow what they are for', t => {
  const [readOnly, directory] = [openSync('/dev/null', 'r'), openSync('/', 'r')]
  t.throws(() => normalise({ stdout: readOnly }), { message: /descriptor \d+, which is open to read only/ })
  t.throws(() => normalise({ stdin: openSync('/dev/null', 'w') }), { message: /which is open to write only/ })
  t.throws(() => normalise({ stdin: directory }), { message: /descriptor \d+, a directory/ })
})

test('undefined is as not given, everywhere', t => {
  const undefinedAll = (names: readonly string[]) => Object.fromEntries(names.map(name => [name, undefined]))
  t.deepEqual(normalise(undefinedAll(DAEMONIZE_OPTIONS)), normalise())
  t.notThrows(() => checkLaunch(process.argv[1] ?? '', undefinedAll(LAUNCH_OPTIONS)))
  t.deepEqual(normalise({ listen: { web: undefined }, limits: { nofile: undefined } } as never), normalise())
  t.deepEqual(normalise({ signals: { SIGHUP: undefined } }).signals, normalise().signals)
  t.deepEqual(normalise({ monitor: undefinedAll(Object.keys(MONITOR_OPTIONS)) }), normalise({ monitor: true }))
  const pidFile = { path: './d.pid', ...undefinedAll(['mode', 'overwrite']) }
  t.deepEqual(normalise({ pidFile }), normalise({ pidFile: './d.pid' }))
  const web = { port: 80, ...undefinedAll(['host', 'path', 'mode', 'backlog', 'ipv6Only', 'reusePort', 'udp']) }
  t.deepEqual(normalise({ listen: { web } }), normalise({ listen: { web: 80 } }))
  const log = { path: './d.log', ...undefinedAll(['mode', 'truncate']) }
  t.like(normalise({ log }).stdout, normalise({ log: './d.log' }).stdout)
})

const FROM_OUTSIDE: [option: string, bad: object][] = [
  ['umask', { umask: '022' }],
  ['pidfile', { pidfile: true }],
  ['log', { log: 'ingore' }],
  ['listen.web', { listen: { web: 'nowhere' } }],
]

for (const [option, bad] of FROM_OUTSIDE) {
  test(`nothing is started or made where an option is bad: ${inspect(bad)}`, async t => {
    const scene = new Scene(t)
    const options = { pidFile: './d.pid', stdout: './d.log', listen: { one: './d.sock' }, ...bad }
    const { code, stdout } = await scene.node(programs<Programs>('launchers')('catches', options, {}))
    const expected = { known: true, name: 'OptionError', code: 'ERR_DAEMON_OPTION', exitCode: 2, option }
    t.deepEqual(JSON.parse(stdout), expected)
    t.is(code, 0)
    t.deepEqual(scene.processes(), [])
    t.deepEqual(scene.files(), [])
  })
}
