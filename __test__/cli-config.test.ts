// `--config`: daemons of a file, by name or all of them.
import { mkdirSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import test from 'ava'
import { status } from 'daemonic'
import { cli, isReadable, ownLines, place, spawnCli } from './support/cli.js'
import { finished, fixture, Scene } from './support/scene.js'

/** Two daemons in a directory of their own. */
function project(scene: Scene, daemons: object = { web: { script: 'web.mjs' }, worker: { script: './worker.mjs' } }) {
  mkdirSync(scene.path('project'))
  place(scene, 'server', 'project/web.mjs')
  place(scene, 'prints-its-place', 'project/worker.mjs')
  return scene.write('project/daemons.json', JSON.stringify({ daemons }))
}

/** A configuration that is a module, under the name of the project's. */
function placeConfig(scene: Scene, what: string): void {
  scene.write('project/daemons.mjs', `export { default } from '${pathToFileURL(fixture(`scripts/${what}`))}'\n`)
}

test('start, status, restart and stop take all daemons of the file, in its directory', async t => {
  const scene = new Scene(t)
  const config = project(scene)
  const start = await cli(scene, ['start', '--config', config])
  t.is(start.code, 0, start.stderr)
  t.regex(start.stdout, /^web: running as pid \d+ .*\nworker: running as pid \d+ .*\n$/)
  await scene.until('it has logged', () => ownLines(scene, 'state/worker.log').length > 0)
  t.deepEqual(ownLines(scene, 'state/worker.log'), [`${scene.path('project')} undefined`])
  t.is((await cli(scene, ['status', '--config', config])).code, 0)
  const restart = await cli(scene, ['restart', '--config', config])
  t.is(restart.code, 0, restart.stderr)
  t.regex(restart.stdout, /^web: running .*\nworker: running .*\n$/)
  t.regex((await cli(scene, ['stop', '--config', config])).stdout, /^web: stopped .*\nworker: stopped .*\n$/)
  t.is((await cli(scene, ['status', '--config', config])).code, 3)
})

test('names take some of them', async t => {
  const scene = new Scene(t)
  const config = project(scene)
  t.regex((await cli(scene, ['start', '--config', config, 'worker'])).stdout, /^worker: running .*\n$/)
  const wrong = await cli(scene, ['stop', '--config', config, 'wroker'])
  t.is(wrong.code, 2)
  t.regex(wrong.stderr, /has no daemon 'wroker'; did you mean `worker`\?/)
  isReadable(t, wrong)
})

test('options of the line win over the file’s, which are launch()’s', async t => {
  const scene = new Scene(t)
  const worker = { script: 'worker.mjs', args: ['a b'], log: './own.log', env: { GIVEN: 'file' }, pidFile: './w.pid' }
  const config = project(scene, { worker })
  t.is((await cli(scene, ['start', '--config', config])).code, 0)
  await scene.until('it has logged', () => ownLines(scene, 'project/own.log').length > 0)
  t.deepEqual(ownLines(scene, 'project/own.log'), [`${scene.path('project')} a b file`])
  t.true(scene.exists('project/w.pid'))
  t.is((await cli(scene, ['stop', '--config', config])).code, 0)
  t.is((await cli(scene, ['start', '--config', config, '--log', 'line.log', '--env', 'GIVEN=line'])).code, 0)
  await scene.until('it has logged', () => ownLines(scene, 'line.log').length > 0)
  t.regex(ownLines(scene, 'line.log')[0] ?? '', / line$/)
  t.is((await cli(scene, ['stop', '--config', config])).code, 0)
})

test('a module with defineConfig() is one too', async t => {
  const scene = new Scene(t)
  project(scene)
  placeConfig(scene, 'sleeper-config')
  const { code, stdout, stderr } = await cli(scene, ['start', '--config', 'project/daemons.mjs'])
  t.is(code, 0, stderr)
  t.regex(stdout, /^sleeper: running as pid/)
})

test('options of the line are added to the file’s monitor, and may take over its pid file', async t => {
  const scene = new Scene(t)
  const worker = { script: 'worker.mjs', monitor: { restart: 'always', maxFailures: 7 }, pidFile: './w.pid' }
  const config = project(scene, { worker, web: { script: 'web.mjs' } })
  const monitors = () =>
    ['project/w.json', 'run/web.json'].map(path => JSON.parse(scene.read(path)).launch.options.monitor)
  t.is((await cli(scene, ['start', '--config', config, '--max-memory', '1G'])).code, 0)
  t.deepEqual(monitors(), [
    { restart: 'always', maxFailures: 7, maxMemory: 2 ** 30 },
    { restart: 'no', maxMemory: 2 ** 30 },
  ])
  const first = Number(scene.read('project/w.pid'))
  const { code, stderr } = await cli(scene, ['start', '--config', config, '--monitor', '--overwrite-pid-file'])
  t.is(code, 0, stderr)
  t.not(Number(scene.read('project/w.pid')), first)
  t.deepEqual(monitors(), [{ restart: 'on-failure', maxFailures: 7 }, { restart: 'on-failure' }])
})

test('nothing is started if one of the daemons can’t be', async t => {
  const scene = new Scene(t)
  const config = project(scene, {
    web: { script: 'web.mjs' },
    worker: { script: 'missing.mjs' },
    third: { script: 'web.mjs', nice: 99 },
  })
  const { code, stdout, stderr } = await cli(scene, ['start', '--config', config])
  t.deepEqual([code, stdout], [127, ''])
  t.regex(stderr, /^worker: cannot execute .*ENOENT.*\nthird: Expected the `nice` option/)
  t.deepEqual(scene.processes(), [])
})

test('who interrupts a start wants none of those that follow', async t => {
  const scene = new Scene(t)
  const config = project(scene, { slow: { script: 'slow.mjs' }, web: { script: 'web.mjs' } })
  place(scene, 'boots-for-ever', 'project/slow.mjs')
  const child = spawnCli(scene, ['start', '--config', config])
  const end = finished(child)
  await scene.until('it boots', () => ownLines(scene, 'state/slow.log').includes('booting'))
  child.kill('SIGINT')
  const { code, stdout } = await end
  t.deepEqual([code, stdout], [130, ''])
  await scene.empty()
})

test('restart loads a module once, wherever it is called', async t => {
  const scene = new Scene(t)
  project(scene)
  placeConfig(scene, 'loud-config')
  mkdirSync(scene.path('elsewhere'))
  const { code, stderr } = await cli(scene, ['restart', '--config', '../project/daemons.mjs', 'sleeper'], {
    cwd: scene.path('elsewhere'),
  })
  t.deepEqual([code, stderr], [0, 'loaded\n'])
})

const WRONG: Readonly<Record<string, readonly [content: string, says: RegExp]>> = {
  'that is no JSON': ['{', /can't be read: .*JSON/],
  'with a wrong key': ['{"daemon":{}}', /wrong\.json: Unknown option `daemon`; did you mean `daemons`\?/],
  'without daemons': ['{"daemons":{}}', /Expected at least one daemon in `daemons`/],
  'that is a list': ['[]', /Expected the `config` option to be an object, got an array/],
  'with a wrong option': [
    '{"daemons":{"web":{"script":"web.mjs","wrokers":2}}}',
    /Unknown option `daemons\.web\.wrokers`; did you mean `workers`\?/,
  ],
  'that runs nothing': ['{"daemons":{"web":{}}}', /Expected `daemons\.web` to have a `script` or a `program`/],
  'that runs two things': ['{"daemons":{"web":{"script":"a","program":"b"}}}', /to have a `script` or a `program`/],
  'that runs a number': ['{"daemons":{"web":{"script":7}}}', /Expected what `daemons\.web` runs to be a path, got 7/],
  'with a wrong value': [
    '{"daemons":{"web":{"script":"web.mjs","nice":99}}}',
    /^web: Expected the `nice` option to be a whole number/,
  ],
}

for (const [what, [content, says]] of Object.entries(WRONG)) {
  test(`2: a configuration ${what}`, async t => {
    const scene = new Scene(t)
    project(scene)
    const result = await cli(scene, ['start', '--config', scene.write('project/wrong.json', content)])
    t.regex(result.stderr, says)
    t.is(result.code, 2)
    isReadable(t, result)
    t.deepEqual(scene.processes(), [])
  })
}

test('times and sizes in a configuration may have units', async t => {
  const scene = new Scene(t)
  const script = place(scene, 'stays', 'web.mjs')
  const web = { script, stopTimeout: '4s', startTimeout: '1m', monitor: { maxMemory: '900M', maxDelay: '0.5s' } }
  scene.write('daemons.json', JSON.stringify({ daemons: { web } }))
  const started = await cli(scene, ['start', '--config', 'daemons.json'])
  t.is(started.code, 0, started.stderr)
  t.is((await status(scene.path('run/web.pid'))).stopTimeout, 4_000)
  t.is((await cli(scene, ['restart', 'web'])).code, 0)
  scene.write('daemons.json', JSON.stringify({ daemons: { web: { ...web, monitor: { maxMemory: '900X' } } } }))
  const wrong = await cli(scene, ['restart', '--config', 'daemons.json'])
  t.is(wrong.code, 2)
  t.regex(wrong.stderr, /bytes from 1, or a size as '512M', got '900X'/)
})
