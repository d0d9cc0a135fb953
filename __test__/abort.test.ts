// launch(), stop(), reload() and connect() are given up by an AbortSignal: what they wait for would take for ever.
import test from 'ava'
import { connect, PidLock, reload, stop } from 'daemonic'
import { inline } from './support/inline.js'
import { LIBRARY, startProgram } from './support/program.js'
import { finished, Scene } from './support/scene.js'

const STAY = 'setInterval(() => {}, 1_000_000)'
/** Never ready. */
const BOOTS =
  `require('node:fs').appendFileSync('booted', process.pid + '\\n')\n${STAY}\nawait new Promise(() => {})\n`.replace(
    "require('node:fs')",
    "(await import('node:fs'))",
  )

/** Launches boots.mjs until it has booted, and prints what the call was rejected with. */
function caller(scene: Scene, options: object): string {
  return scene.write(
    'caller.mjs',
    `import { launch } from '${LIBRARY}'
    import { existsSync } from 'node:fs'
    const abort = new AbortController()
    setInterval(() => existsSync('abort') && abort.abort(new Error('enough')), 10).unref()
    try { await launch('./boots.mjs', { signal: abort.signal, ...${JSON.stringify(options)} }) }
    catch (error) { console.log(error.message) }`,
  )
}

for (const [what, options] of [
  ['with a pid file', { pidFile: './d.pid' }],
  ['without a pid file', { pidFile: false }],
  ['under a supervisor', { pidFile: './d.pid', monitor: true }],
] as const) {
  test(`launch() ${what} that is aborted ends what it started, and rejects with the reason`, async t => {
    const scene = new Scene(t)
    scene.write('boots.mjs', BOOTS)
    const calling = finished(scene.spawnNode([caller(scene, options)]))
    await scene.until('it boots', () => scene.exists('booted'))
    scene.write('abort', '')
    const { code, stdout, stderr } = await calling
    t.is(stdout, 'enough\n', stderr)
    t.is(code, 0)
    await scene.empty()
    t.false(scene.exists('d.pid'))
  })
}

test('launch() that waits for the start of another caller leaves that alone when it is aborted', async t => {
  const scene = new Scene(t)
  scene.write('boots.mjs', BOOTS)
  const other = scene.spawnNode([
    scene.write(
      'other.mjs',
      `import { launch } from '${LIBRARY}'\nawait launch('./boots.mjs', { pidFile: './d.pid', ifRunning: 'reuse' })`,
    ),
  ])
  await scene.until('it boots', () => scene.exists('booted'))
  const calling = finished(scene.spawnNode([caller(scene, { pidFile: './d.pid', ifRunning: 'reuse' })]))
  scene.write('abort', '')
  const { stdout, stderr } = await calling
  t.is(stdout, 'enough\n', stderr)
  t.is(other.exitCode, null)
  t.is(PidLock.inspect(scene.path('d.pid')).state, 'starting')
})

test('a signal that is aborted already starts nothing', async t => {
  const scene = new Scene(t)
  scene.write('boots.mjs', BOOTS)
  scene.write(
    'caller.mjs',
    `import { launch } from '${LIBRARY}'
    await launch('./boots.mjs', { pidFile: './d.pid', signal: AbortSignal.abort(new Error('enough')) }).catch(({ message }) => console.log(message))`,
  )
  const { stdout } = await scene.run(process.execPath, ['caller.mjs'])
  t.is(stdout, 'enough\n')
  t.false(scene.exists('booted'))
})

test('stop() and connect() that are aborted give up waiting, and the daemon goes on stopping', async t => {
  const scene = new Scene(t)
  const program = inline(
    scene,
    `const daemon = become({ listen: { web: '127.0.0.1:0' }, stopTimeout: 100_000 })
    const { createServer } = await import('node:net')
    await daemon.serve(createServer(), 'web')
    daemon.onStop(async () => {
      tell('stopping', 'x')
      while (!fs.existsSync(here + '/go')) await sleep(10)
    })`,
  )
  await startProgram(scene, program)
  const pidFile = scene.path('d.pid')
  const enough = new AbortController()
  const reason = new Error('enough')
  const stopping = stop(pidFile, { abortSignal: enough.signal })
  await scene.until('it stops', () => scene.exists('stopping'))
  const connecting = connect(pidFile, 'web', { signal: enough.signal })
  enough.abort(reason)
  t.is(await t.throwsAsync(stopping), reason)
  t.is(await t.throwsAsync(connecting), reason)
  t.is(scene.processes().length, 1)
  scene.write('go', '')
  await scene.empty()
})

test('reload() that is aborted gives up waiting, and the reload goes on', async t => {
  const scene = new Scene(t)
  const program = inline(
    scene,
    `tell('starts', 'x')
    const daemon = become({ monitor: true, ready: 'manual' })
    while (fs.readFileSync(here + '/starts', 'utf8').length > 5 && !fs.existsSync(here + '/go')) await sleep(10)
    tell('ready', process.pid)
    daemon.ready()
    setInterval(() => {}, 1_000_000)`,
  )
  await startProgram(scene, program)
  const enough = new AbortController()
  const reason = new Error('enough')
  const begun = scene.read('starts').length
  const reloading = reload(scene.path('d.pid'), { signal: enough.signal })
  await scene.until('the successor starts', () => scene.read('starts').length > begun)
  enough.abort(reason)
  t.is(await t.throwsAsync(reloading), reason)
  scene.write('go', '')
  await scene.until('the successor is ready', () => scene.read('ready').trim().split('\n').length === 2)
})
