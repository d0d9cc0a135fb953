// What people type who come from other tools, and what a daemon is called that was given no name.
import { mkdirSync } from 'node:fs'
import test from 'ava'
import { cli, isReadable, ownLines, place } from './support/cli.js'
import { Scene } from './support/scene.js'

const ANSWERS: Readonly<Record<string, RegExp>> = {
  'start -i max app.mjs': /-i here: use --workers N, or --workers cpus/,
  'start --instances 4 app.mjs': /--instances here: use --workers N/,
  'start -n api app.mjs': /-n here: use --name NAME/,
  'start --cwd /tmp app.mjs': /--cwd here: use --chdir DIR/,
  'start --max-memory-restart 300M app.mjs': /use --max-memory SIZE/,
  'start --kill-timeout 3000 app.mjs': /use --stop-timeout TIME/,
  'start --watch app.mjs': /--watch here: use `node --watch`/,
  'start --cron 0 app.mjs': /--cron here: use a line of crontab\(5\)/,
  list: /There is no 'list' here: use `daemonic status`/,
  ls: /use `daemonic status`/,
  ps: /use `daemonic status`/,
  monit: /use `daemonic status --watch`/,
  'delete web': /use `daemonic stop NAME`/,
  save: /use a configuration file, for `daemonic start --config FILE`/,
  startup: /use `daemonic enable NAME`/,
  'tail -f web': /use `daemonic logs --follow NAME`/,
  'is-active web': /use `daemonic status NAME`, whose exit code tells/,
  reread: /use `daemonic restart --config FILE`/,
  'help ls': /use `daemonic status`/,
}

for (const [line, says] of Object.entries(ANSWERS)) {
  test(`2: daemonic ${line} answers with our word`, async t => {
    const scene = new Scene(t)
    place(scene, 'stays', 'app.mjs')
    const result = await cli(scene, line.split(' '))
    t.is(result.code, 2)
    t.regex(result.stderr, says)
    isReadable(t, result)
    t.deepEqual(scene.files(), ['app.mjs'])
  })
}

test('options after the script are its own, and a warning says where ours belong', async t => {
  const scene = new Scene(t)
  place(scene, 'stays', 'app.mjs')
  const warned = await cli(scene, ['start', 'app.mjs', '-i', 'max', '--name=api', '--port', '80'])
  t.is(warned.code, 0, warned.stderr)
  t.is(
    warned.stderr,
    'app: -i, --name are arguments of app.mjs, since they stand after it: options of daemonic stand before the script; ' +
      'for -i use --workers N, or --workers cpus\n',
  )
  t.is((await cli(scene, ['stop', 'app'])).code, 0)
  for (const args of [
    ['--port', '80', '--', '--name'],
    ['a-name', '-x'],
  ]) {
    t.is((await cli(scene, ['start', 'app.mjs', ...args])).stderr, '')
    t.is((await cli(scene, ['stop', 'app'])).code, 0)
  }
})

test('--import, --node-args and --interpreter-arg are the interpreter’s, after a restart too', async t => {
  const scene = new Scene(t)
  scene.write('first.mjs', 'globalThis.first = true')
  scene.write('app.mjs', 'console.log(globalThis.first, process.execArgv.join(" "))\nsetInterval(() => {}, 1e6)')
  const { code, stderr } = await cli(scene, [
    'start',
    ...['--import', './first.mjs', '--node-args=--stack-size=900 --trace-warnings', '--interpreter-arg', '--no-opt'],
    'app.mjs',
  ])
  t.is(code, 0, stderr)
  t.is((await cli(scene, ['restart', 'app'], { cwd: '/' })).code, 0)
  await scene.until('both have logged', () => ownLines(scene, 'state/app.log').length === 2)
  for (const line of ownLines(scene, 'state/app.log')) {
    t.regex(line, /^true .*--import \.\/first\.mjs --stack-size=900 --trace-warnings --no-opt$/)
  }
})

test('a script that is called like many others, and a directory, is named by package.json', async t => {
  const scene = new Scene(t)
  for (const project of ['one', 'two']) mkdirSync(scene.path(`${project}/src`), { recursive: true })
  scene.write('one/package.json', '{"name":"@acme/one.api","main":"src/index.cjs"}')
  for (const project of ['one', 'two']) scene.write(`${project}/src/index.cjs`, 'setInterval(() => {}, 1e6)')
  const byDirectory = await cli(scene, ['start', '.'], { cwd: scene.path('one') })
  t.regex(byDirectory.stdout, /^one\.api: running/, byDirectory.stderr)
  t.is((await cli(scene, ['stop', 'one.api'])).code, 0)
  const byFile = await cli(scene, ['start', 'src/index.cjs'], { cwd: scene.path('one') })
  t.regex(byFile.stdout, /^one\.api: running/, byFile.stderr)
  const nameless = await cli(scene, ['start', 'two/src/index.cjs'])
  t.regex(nameless.stdout, /^index: running/, nameless.stderr)
})

test('a second project’s script of the same name is told which one runs', async t => {
  const scene = new Scene(t)
  for (const project of ['one', 'two']) {
    mkdirSync(scene.path(project))
    scene.write(`${project}/worker.cjs`, 'setInterval(() => {}, 1e6)')
  }
  t.is((await cli(scene, ['start', 'worker.cjs'], { cwd: scene.path('one') })).code, 0)
  const refused = await cli(scene, ['start', 'worker.cjs'], { cwd: scene.path('two') })
  t.is(refused.code, 1)
  t.regex(
    refused.stderr,
    /^worker: already running as pid \d+: \S+\/one\/worker\.cjs, started in \S+\/one; call this one otherwise by --name, or add --instance "\$PWD"\n$/,
  )
  const again = await cli(scene, ['start', 'worker.cjs'], { cwd: scene.path('one') })
  t.regex(again.stderr, /^worker: already running as pid \d+\n$/)
})

test('TypeScript is run by tsx where it is installed, else a sentence says what to do', async t => {
  const scene = new Scene(t)
  scene.write('page.tsx', 'const n: number = 3\nconsole.log("typed", n)\nsetInterval(() => {}, 1e6)')
  const refused = await cli(scene, ['start', 'page.tsx'])
  t.is(refused.code, 126)
  t.regex(
    refused.stderr,
    /^page\.tsx is TypeScript, which Node\.js v\S+ can't run: install tsx \(npm install tsx\), compile it/,
  )
  // A loader that stands for tsx, which the registry has.
  mkdirSync(scene.path('node_modules/tsx'), { recursive: true })
  scene.write('node_modules/tsx/package.json', '{"name":"tsx","exports":"./loader.mjs"}')
  scene.write(
    'node_modules/tsx/loader.mjs',
    "import { register } from 'node:module'\nregister('./hooks.mjs', import.meta.url)",
  )
  scene.write(
    'node_modules/tsx/hooks.mjs',
    `import { readFileSync } from 'node:fs'
export const load = async (url, context, next) => url.endsWith('.tsx')
  ? { format: 'module', shortCircuit: true, source: readFileSync(new URL(url), 'utf8').replace(': number', '') }
  : next(url, context)`,
  )
  const { code, stderr } = await cli(scene, ['start', 'page.tsx'])
  t.is(code, 0, stderr)
  await scene.until('it runs', () => ownLines(scene, 'state/page.log').includes('typed 3'))
})
