// Several copies of the library in one process, perhaps of different versions: the command's and the program's own.
import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath, pathToFileURL } from 'node:url'
import test from 'ava'
import { PidLock } from 'daemonic'
import { inScene } from './support/launching.js'
import { LIBRARY } from './support/program.js'
import { Scene } from './support/scene.js'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const { version: VERSION } = JSON.parse(readFileSync(`${ROOT}/package.json`, 'utf8'))

/** Installs another copy of the library in the scene; `changes` replace texts in what is published. Gives its URL. */
function otherCopy(scene: Scene, changes: readonly (readonly [RegExp, string])[] = []): string {
  const to = scene.path('node_modules/daemonic')
  const published = readdirSync(`${ROOT}/dist`).filter(name => /\.c?js$/.test(name))
  for (const path of ['package.json', 'native', ...published.map(name => `dist/${name}`)]) {
    cpSync(`${ROOT}/${path}`, `${to}/${path}`, { recursive: true })
  }
  for (const [before, after] of changes) {
    const texts = published.map(name => [`${to}/dist/${name}`, readFileSync(`${to}/dist/${name}`, 'utf8')] as const)
    const changed = texts.filter(([, text]) => before.test(text))
    if (changed.length === 0) throw new Error(`${before} is not in what is published`)
    for (const [path, text] of changed) writeFileSync(path, text.replace(before, after))
  }
  return pathToFileURL(`${to}/dist/index.js`).href
}

const OLDER = [new RegExp(`"${VERSION.replaceAll('.', '\\.')}"`), '"0.0.9"'] as const

test('errors are recognised by every copy, each by its class', async t => {
  const scene = new Scene(t)
  const text = `
    import * as own from '${LIBRARY}'
    import * as other from '${otherCopy(scene)}'
    const error = await other.connect('./none.pid', 'http').catch(error => error)
    const wrong = await other.stop('./none.pid', { signal: 'SIGNONE' }).catch(error => error)
    class Derived extends own.DaemonError {}
    console.log(JSON.stringify([
      own.DaemonError === other.DaemonError,
      [own.DaemonError, own.OptionError, own.StartError, Derived].map(family => error instanceof family),
      [own.DaemonError, own.OptionError, own.StartError, Derived].map(family => wrong instanceof family),
      [new Derived('', 'X') instanceof other.DaemonError, new Derived('', 'X') instanceof Derived],
      [null, 'text', new Error('')].map(value => value instanceof own.DaemonError),
    ]))`
  const { stdout, stderr } = await scene.node(scene.write('program.mjs', text))
  t.is(stderr, '')
  t.deepEqual(JSON.parse(stdout), [
    false,
    [true, false, false, false],
    [true, true, false, false],
    [true, true],
    [false, false, false],
  ])
})

const LOOKS: Record<string, string> = {
  'inspect()': `other.PidLock.inspect('./d.pid')`,
  'acquire()': `other.PidLock.acquire('./d.pid')`,
  'wait()': `await other.PidLock.wait('./d.pid', { timeout: 50 })`,
  'status()': `await other.status('./d.pid')`,
  'launch()': `await other.launch('./program.mjs', { pidFile: './d.pid' })`,
}

for (const [what, call] of Object.entries(LOOKS)) {
  test(`${what} of another copy doesn’t take a pid file from this one`, async t => {
    const scene = new Scene(t)
    const text = `
      import { PidLock } from '${LIBRARY}'
      import * as other from '${otherCopy(scene)}'
      PidLock.acquire('./d.pid')
      let result
      try { result = ${call} } catch (error) { result = { code: error.code, pid: error.pid } }
      console.log(JSON.stringify({ pid: process.pid, result }))
      setInterval(() => {}, 1_000_000)`
    const child = scene.spawnNode([scene.write('program.mjs', text)])
    let output = ''
    child.stdout?.setEncoding('utf8').on('data', text => (output += text))
    await scene.until('the other copy has looked', () => output.includes('\n'))
    const { pid, result } = JSON.parse(output)
    t.deepEqual(PidLock.inspect(scene.path('d.pid')), { state: 'running', pid: child.pid ?? 0, verified: true })
    if (what === 'inspect()' || what === 'status()') t.like(result, { state: 'running', pid, verified: true })
    else if (what !== 'wait()') t.deepEqual(result, { code: 'ERR_DAEMON_RUNNING', pid })
  })
}

test('what an older copy that started the daemon doesn’t know is said, with both versions', async t => {
  const scene = new Scene(t)
  const older = otherCopy(scene, [OLDER, [/drainTimeout:\{[^}]*\},/, ''], [/onDrain\(hook\)/, 'onDrainLater(hook)']])
  const both = `made by daemonic 0\\.0\\.9, and this program's own is ${VERSION.replaceAll('.', '\\.')}`
  const program = (options: string) =>
    scene.write(
      'd.mjs',
      `import { daemonize } from '${LIBRARY}'
       import { writeFileSync } from 'node:fs'
       const daemon = daemonize(${options})
       try { daemon.onDrain(() => {}) } catch ({ code, message }) { writeFileSync('said', code + ': ' + message) }
       setInterval(() => {}, 1_000_000)`,
    )
  const caller = scene.write(
    'caller.mjs',
    `import { launch } from '${older}'
     await launch('./d.mjs', { name: 'd', log: 'ignore' }).catch(({ message }) => console.log(message))`,
  )
  program('{ drainTimeout: 1_000 }')
  const refused = await scene.node(caller, inScene(scene))
  t.regex(refused.stdout, new RegExp(`OptionError: Unknown option \`drainTimeout\`.* \\(the daemon was ${both}\\)\n`))
  program('{ stopTimeout: 1_000 }')
  const started = await scene.node(caller, inScene(scene))
  t.is(started.stdout, '', started.stderr)
  t.regex(scene.read('said'), new RegExp(`^ERR_DAEMON_VERSION: the daemon has no onDrain: it was ${both}\\. Install`))
})

test('a marker of a later format is refused by an older copy, which names both versions', async t => {
  const scene = new Scene(t)
  const later = otherCopy(scene, [
    [OLDER[0], '"9.9.9"'],
    [/format:1,version:/, 'format:2,version:'],
  ])
  const text = `const { daemonize } = await import(process.env.DAEMONIC_START ? '${LIBRARY}' : '${later}')
    daemonize({ pidFile: './d.pid' })`
  const { code, stderr } = await scene.node(scene.write('program.mjs', text))
  t.is(code, 1)
  t.regex(
    stderr,
    /this process was started by daemonic 9\.9\.9, and this program's own is .*, which is too old for it\./,
  )
})
