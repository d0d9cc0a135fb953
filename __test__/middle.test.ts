// The process between launcher and daemon: an executable of its own, which holds nothing of its caller's.
import { execFileSync } from 'node:child_process'
import { chmodSync, cpSync, readdirSync, readFileSync, readlinkSync, renameSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { stop } from 'daemonic'
import { inScene, script } from './support/launching.js'
import { program } from './support/program.js'
import { finished, Scene } from './support/scene.js'
import { isAlive, statusLine } from './support/supervised.js'

/** What a caller may have that its middle process must not: memory, in MB. */
const BALLAST_MB = 200
const MOST_MIDDLE_KB = 8_000
/** How often four starts at once are tried while variables are set. */
const ENVIRONMENT_ROUNDS = 25
const hasStrace = () => {
  try {
    execFileSync('strace', ['-V'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}
const withStrace = hasStrace() ? test : test.skip // Debian's strace

const TOLD = `const told = promise => promise.then(
  ({ pid }) => ({ pid, at: performance.now() }),
  ({ name, code, late, message, path, step }) => ({ name, code, late, message, path, step, at: performance.now() }),
)
`

test('it has neither memory nor descriptors of its caller', async t => {
  const scene = new Scene(t)
  const never = script(scene, `tell('session', String(process.pid)); await new Promise(() => {})`)
  const text = `const ballast = Buffer.alloc(${BALLAST_MB} << 20, 1)
daemonic.launch('${never}', { name: 'd' }).catch(() => {}); globalThis.ballast = ballast`
  const child = scene.spawn(
    'bash',
    ['-c', 'exec 9<program.mjs; exec "$0" program.mjs', process.execPath],
    inScene(scene),
  )
  const end = finished(child)
  program(scene, text)
  const daemon = Number(await scene.until('it boots', () => scene.exists('session') && scene.read('session')))
  const middle = Number(statusLine(daemon, 'PPid'))
  t.not(middle, child.pid)
  t.is(statusLine(middle, 'Name'), 'daemonic-middle')
  t.true(Number.parseInt(statusLine(child.pid ?? 0, 'VmRSS'), 10) > BALLAST_MB << 10)
  t.true(Number.parseInt(statusLine(middle, 'VmRSS'), 10) < MOST_MIDDLE_KB)
  t.is(statusLine(middle, 'Threads'), '1')
  const open = readdirSync(`/proc/${middle}/fd`).map(fd => readlinkSync(`/proc/${middle}/fd/${fd}`).replace(/\d+/, ''))
  t.deepEqual(open.toSorted(), ['/memfd:daemonic-stderr (deleted)', 'anon_inode:[pidfd]', 'socket:[]', 'socket:[]'])
  child.kill('SIGKILL')
  await end
})

test('while another thread starts processes without a pause, every start comes to its end', async t => {
  const scene = new Scene(t)
  const path = script(scene, '')
  const text = `${TOLD}const { Worker } = await import('node:worker_threads')
const forks = new Worker("const { spawnSync } = require('node:child_process'); for (;;) spawnSync('/bin/true')", { eval: true })
const all = []
for (let round = 0; round < 5; round++) {
  const names = [0, 1, 2].map(each => 'd' + round + each)
  all.push(...await Promise.all(names.map(name => told(daemonic.launch('${path}', { name })))))
}
console.log(JSON.stringify(all)); process.exit()`
  const { code, stdout, stderr } = await scene.node(program(scene, text), inScene(scene))
  t.is(code, 0, stderr)
  const pids = (JSON.parse(stdout) as { pid?: number }[]).map(({ pid = 0 }) => pid)
  t.is(pids.length, 15)
  t.true(pids.every(isAlive))
})

test('variables that JavaScript sets meanwhile do a start no harm', async t => {
  const scene = new Scene(t)
  const text = `let more = 0, over = false
const launches = async () => {
  const launch = name => daemonic.launch('/bin/false', { interpreter: null, name, pidFile: false }).catch(() => {})
  for (let round = 0; round < ${ENVIRONMENT_ROUNDS}; round++) await Promise.all(['a', 'b', 'c', 'd'].map(launch))
  over = true
}
launches()
while (!over) {
  for (let each = 0; each < 40; each++) process.env['MORE_' + more++] = 'x'.repeat(50)
  await new Promise(resolve => setTimeout(resolve, 0))
  if (more > 4000) for (; more > 0; more--) delete process.env['MORE_' + more]
}
process.exit()`
  const { code, signal, stderr } = await scene.node(program(scene, text), inScene(scene))
  t.deepEqual([code, signal, stderr], [0, null, ''])
})

test('the daemon has the variables that its caller had at the call', async t => {
  const scene = new Scene(t)
  const path = script(scene, `tell('seen', process.env.BEFORE + ' ' + process.env.AFTER)`)
  const text = `process.env.BEFORE = 'set'
const start = daemonic.launch('${path}', { name: 'd' })
delete process.env.BEFORE
process.env.AFTER = 'set'
await start`
  const { code, stderr } = await scene.node(program(scene, text), inScene(scene))
  t.is(code, 0, stderr)
  t.is(scene.read('seen'), 'set undefined\n')
})

withStrace('one that hangs is given up after `startTimeout`, and holds up no other start', async t => {
  const scene = new Scene(t)
  const path = script(scene, '')
  const text = `${TOLD}const began = performance.now()
const slow = told(daemonic.launch('${path}', { name: 'slow', startTimeout: 3_000 }))
const quick = await told(daemonic.launch('${path}', { name: 'quick' }))
console.log(JSON.stringify([quick, await slow].map(each => ({ ...each, at: each.at - began })))); process.exit()`
  // The middle process of the first start sleeps before it renames the draft of the state file.
  const hang = ['-P', scene.path('slow.json'), '-e', 'inject=/^rename:delay_enter=60000000']
  const { code, stdout, stderr } = await scene.run(
    'strace',
    ['-f', '-qq', '-o', scene.path('trace'), ...hang, process.execPath, program(scene, text)],
    inScene(scene),
  )
  t.is(code, 0, stderr)
  const [quick, slow] = JSON.parse(stdout) as { pid?: number; late?: boolean; name?: string; at: number }[]
  t.truthy(quick?.pid)
  t.true((quick?.at ?? Number.NaN) < 3_000, 'it did not wait for the other')
  t.deepEqual([slow?.name, slow?.late], ['StartError', true])
  await stop(scene.path('quick.pid'))
  await scene.empty()
  t.deepEqual(
    scene.files().filter(file => file.startsWith('slow')),
    [],
  )
})

// ── Where the executable can't be executed ───────────────────────────────────────────────

const DIST = fileURLToPath(new URL('..', import.meta.url))
const EXECUTABLE = 'daemonic-supervisor'

/** Copies the package into the scene; gives its executable. */
function installed(scene: Scene): string {
  for (const file of readdirSync(DIST).filter(each => /^(index|preload|cli.*)\.c?js$/.test(each)))
    cpSync(join(DIST, file), scene.path(`package/dist/${file}`))
  cpSync(join(dirname(DIST), 'native'), scene.path('package/native'), { recursive: true })
  scene.write('package/package.json', '{ "type": "module" }')
  return scene.path(`package/native/${EXECUTABLE}`)
}

const caller = (scene: Scene, path: string, before = '') =>
  scene.write(
    'caller.mjs',
    `import * as fs from 'node:fs'
import { launch } from './package/dist/index.js'
${TOLD}${before}
console.log(JSON.stringify(await told(launch('${path}', { name: 'd' }))))`,
  )

const BROKEN: Record<string, { breaks: (scene: Scene, file: string) => void; says: RegExp }> = {
  'is missing': {
    breaks: (scene, file) => renameSync(file, scene.path('elsewhere')),
    says: /ENOENT.*daemonic-supervisor must lie beside the addon$/,
  },
  'may not be executed': { breaks: (_, file) => chmodSync(file, 0o644), says: /EACCES.*noexec$/ },
  'is for another system': {
    breaks: scene => chmodSync(scene.write(`package/native/${EXECUTABLE}`, 'MZ\0\0'), 0o755),
    says: /ENOEXEC.*install the package on this host again$/,
  },
  'exits at once': {
    breaks: scene => chmodSync(scene.write(`package/native/${EXECUTABLE}`, '#!/bin/sh\nexit 7\n'), 0o755),
    says: /EPIPE.*exited with 7 before it did anything/,
  },
  'is of another build': {
    breaks: scene =>
      chmodSync(scene.write(`package/native/${EXECUTABLE}`, '#!/bin/bash\nprintf "BUILD=0.0.0-x\\n" >&"$3"\n'), 0o755),
    says: /it is of build 0\.0\.0-x, this program has loaded .*: start this program again$/,
  },
}

for (const [what, { breaks, says }] of Object.entries(BROKEN)) {
  test(`an executable that ${what} is an error that says so, and nothing is left`, async t => {
    const scene = new Scene(t)
    breaks(scene, installed(scene))
    const { stdout, stderr } = await scene.node(caller(scene, script(scene, '')), inScene(scene))
    t.is(stderr, '')
    const { name, message, step } = JSON.parse(stdout)
    t.regex(message, says)
    t.deepEqual([name, step], ['SystemCallError', 'executable'])
    t.deepEqual(scene.processes(), [])
    t.deepEqual(
      scene.files().filter(file => file.startsWith('d.') && file !== 'd.mjs'),
      [],
    )
  })
}

test('an upgrade of the package while a program runs changes nothing for that program', async t => {
  const scene = new Scene(t)
  const file = installed(scene)
  const upgraded = scene.write('upgraded', '#!/bin/sh\nexit 7\n')
  const before = `fs.chmodSync('${upgraded}', 0o755); fs.renameSync('${upgraded}', '${file}')`
  const { stdout } = await scene.node(caller(scene, script(scene, ''), before), inScene(scene))
  const { pid, message } = JSON.parse(stdout)
  t.is(message, undefined)
  t.is(readFileSync(`/proc/${pid}/comm`, 'utf8').trim().length > 0, true)
})
