// Wrong command lines: a sentence that says what is expected, exit code 2, and nothing done.
import test from 'ava'
import { cli, isReadable, place } from './support/cli.js'
import { Scene } from './support/scene.js'

const WRONG: Readonly<Record<string, RegExp>> = {
  strat: /Unknown command 'strat'; did you mean `start`\?\nSee `daemonic --help`/,
  '--json': /Expected a command before the option --json/,
  'help strat': /Unknown command 'strat'/,
  stop: /Expected at least one TARGET, or --all\nSee `daemonic stop --help`/,
  'stop --all web': /Expected --all or TARGETs, got both/,
  restart: /Expected at least one TARGET/,
  reload: /Expected at least one TARGET/,
  'logs --timestamps': /Expected --timestamps with --follow/,
  reopen: /Expected at least one TARGET, or --all/,
  'reopen --all web': /Expected --all or TARGETs, got both/,
  signal: /Expected `daemonic signal TARGET SIGNAL`, got nothing/,
  'signal web': /got 'web'/,
  'signal web HUP TERM': /got 'web HUP TERM'/,
  'signal web HUPP': /Expected SIGNAL to be a signal, as HUP, SIGHUP or 1, got 'HUPP'/,
  'signal web 99': /Expected SIGNAL to be a signal/,
  'scale web': /Expected `daemonic scale TARGET N\|\+N\|-N`/,
  'scale web many': /Expected the number of workers to be N, \+N or -N, got 'many'/,
  'scale web 1.5': /got '1.5'/,
  'stop web --timeout': /Expected TIME after --timeout/,
  'stop web --timeout 5': /Expected --timeout to be a time as 500ms, 30s or 5m, got '5'/,
  'stop web --timeout -1s': /got '-1s'/,
  'stop web --signal NOPE': /Expected --signal to be a signal/,
  'stop web --force': /Unknown option --force; did you mean `--no-force`\?|Unknown option --force/,
  'stop web --no-force=yes': /Expected --no-force to stand alone, got the value 'yes'/,
  'stop web --timeout 1s --timeout 2s': /Expected --timeout once, got it twice/,
  'stop web -q -v': /Expected --quiet or --verbose, got both/,
  'logs web -n few': /Expected --lines to be a whole number, got 'few'/,
  'logs web -n -3': /Expected --lines to be a whole number from 0, got '-3'/,
  'logs web --since yesterday': /Expected --since to be a time as 30s, 10m, 2h or 1d, or an ISO 8601 time/,
  'logs web --josn': /Unknown option --josn/,
  'status --jsn': /Unknown option --jsn; did you mean `--json`\?/,
  'status --watch': /Expected --watch on a terminal, or with --json/,
  completion: /Expected `daemonic completion bash\|zsh\|fish`/,
  'completion fis': /Expected the shell to be bash, zsh, fish, got 'fis'; did you mean `fish`\?/,
  start: /Expected a SCRIPT, or `-- PROGRAM`/,
  'start --': /Expected a SCRIPT, or a PROGRAM after `--`/,
  'start app.js -- --port 80':
    /ambiguous: arguments of app.js follow it directly \(daemonic start app.js --port 80\); for another program leave app.js out \(daemonic start -- --port 80\)/,
  'run app.js --': /ambiguous.*daemonic run app.js\).*daemonic run -- PROGRAM\)/,
  'start --idel-timeout 3s app.js': /Unknown option --idel-timeout; did you mean `--idle-timeout`\?/,
  'start --umask 9 app.js': /Expected --umask to be octal, as 027, got '9'/,
  'start --umask 7777 app.js': /Expected --umask to be a number from 0 to 0o777, got 4095/,
  'start --limit nofile app.js': /Expected --limit to be NAME=N or NAME=SOFT:HARD, as nofile=65536, got 'nofile'/,
  'start --limit nofiles=3 app.js': /Unknown option --limit nofiles; did you mean `nofile`\?/,
  'start --limit nofile=9:3 app.js': /Expected --limit nofile to be a soft limit not above the hard one/,
  'start --nice 20 app.js': /Expected --nice to be a whole number from -20 to 19, got 20/,
  'start --nice low app.js': /Expected --nice to be a whole number, got 'low'/,
  'start --max-memory lots app.js': /Expected --max-memory to be a size as 512M: bytes, K, M or G, got 'lots'/,
  'start --max-delay 3x app.js': /Expected --max-delay to be a time as 500ms, 30s or 5m, got '3x'/,
  'start --restart sometimes app.js': /Expected --restart to be 'no', 'on-failure', 'on-abnormal' or 'always'/,
  'start --restart on-failur app.js': /did you mean `on-failure`\?/,
  'start --workers few app.js': /Expected --workers to be a number or cpus, got 'few'/,
  'start --workers cpu app.js': /did you mean `cpus`\?/,
  'start --workers 0 app.js': /Expected --workers to be a whole number from 1 to 1024 or 'cpus', got 0/,
  'start --ready soon app.js': /Expected --ready to be auto, loaded, manual, port or fd=N, got 'soon'/,
  'start --ready port app.js': /--ready can't be 'port' without `listen`: there is no address to answer/,
  'start --groups , app.js': /Expected --groups to be names or ids, as A,B, got ','/,
  'start --if-running ignore app.js': /Expected --if-running to be 'error' or 'reuse', got 'ignore'/,
  'start --env =x app.js': /Expected --env to be NAME=VALUE, or NAME to remove it, got '=x'/,
  // Node before 22 takes --env-file for its own wherever it stands.
  ...(Number.parseInt(process.versions.node, 10) >= 22 && {
    'start --env-file nowhere app.js': /--env-file nowhere can't be read: ENOENT/,
  }),
  'start --listen nowhere app.js': /Expected --listen http to be a port, ':PORT', 'HOST:PORT'/,
  'start --listen a=1 --listen a=2 app.js': /Expected the sockets of --listen to differ in name, got 'a' twice/,
  'start --listen 99999 app.js': /Expected --listen http to be a whole number from 0 to 65535/,
  'start --preserve x app.js': /Expected --preserve to be the number of an open descriptor, got 'x'/,
  'start --log ingore app.js': /Expected --log to be .*'ignore'.*got 'ingore'; did you mean `ignore`\?/,
  'start --user nobodyy app.js': /--user.*nobodyy|nobodyy/,
  'start --name a/b app.js': /Expected --name to be at most 64 letters/,
  'start --config nowhere.json': /--config .*nowhere.json can't be read: there is no such file/,
  'start --config a.json -- true': /Expected --config or a program, got both/,
}

for (const [line, says] of Object.entries(WRONG)) {
  test(`2: daemonic ${line}`, async t => {
    const scene = new Scene(t)
    place(scene, 'stays', 'app.js')
    const result = await cli(scene, line.split(' '))
    t.regex(result.stderr, says)
    t.is(result.code, 2)
    t.is(result.stdout, '')
    t.regex(result.stderr, /^(daemonic|app|web): /)
    isReadable(t, result)
    t.deepEqual(scene.files(), ['app.js'])
  })
}

const NO_NAMES = ['a b', '', '.', '..', 'é', 'x'.repeat(300), 'a@b@c', 'a\nb']

for (const name of NO_NAMES) {
  test(`2: ${JSON.stringify(name.slice(0, 20))} is no target`, async t => {
    const scene = new Scene(t)
    const result = await cli(scene, ['stop', name])
    t.regex(result.stderr, /Expected TARGET to be a name \(at most 64 letters.*, got '/s)
    t.is(result.code, 2)
    isReadable(t, result)
  })
}

test('a wrong option comes before a missing script and a daemon that doesn’t run', async t => {
  const scene = new Scene(t)
  t.is((await cli(scene, ['start', '--nice', '77', 'missing.js'])).code, 2)
  t.is((await cli(scene, ['start', '--nice', '77', '--', 'missing'])).code, 2)
  t.is((await cli(scene, ['signal', 'missing', 'WRONG'])).code, 2)
  t.is((await cli(scene, ['stop', 'missing', 'also missing'])).code, 2)
})

test('without a command the help is on stderr, and 2', async t => {
  const { code, stdout, stderr } = await cli(new Scene(t), [])
  t.is(code, 2)
  t.is(stdout, '')
  t.regex(stderr, /^Usage: daemonic COMMAND/)
})

test('the stack of an error is told under -vv alone', async t => {
  const scene = new Scene(t)
  t.notRegex((await cli(scene, ['stop', '--nope', '-v'])).stderr, /^\s+at /m)
  t.regex((await cli(scene, ['stop', '--nope', '-vv'])).stderr, /^\s+at /m)
})
