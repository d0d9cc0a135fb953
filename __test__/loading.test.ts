// The native addon: loaded at the first use, once, and what is said where there is none.
import { cpSync, mkdirSync, readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { LIBRARY } from './support/program.js'
import { Scene } from './support/scene.js'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** Every call that needs the addon; each gets what it would need on a Unix system. */
const CALLS = `
const calls = {
  daemonize: () => daemonic.daemonize(),
  detachContext: () => daemonic.detachContext(),
  launch: () => daemonic.launch('/x/program.js', { pidFile: '/x/d.pid' }),
  connect: () => daemonic.connect('/x/d.pid', 'http'),
  stop: () => daemonic.stop('/x/d.pid'),
  signal: () => daemonic.signal('/x/d.pid', 'SIGHUP'),
  reload: () => daemonic.reload('/x/d.pid'),
  reopenLogs: () => daemonic.reopenLogs('/x/d.pid'),
  status: () => daemonic.status('/x/d.pid'),
  processInfo: () => daemonic.processInfo(process.pid),
  acquire: () => daemonic.PidLock.acquire('/x/d.pid'),
  wait: () => daemonic.PidLock.wait('/x/d.pid'),
  inspect: () => daemonic.PidLock.inspect('/x/d.pid'),
}
`

/** Calls everything, and prints of each what it threw. */
const CALL_ALL = `${CALLS}
const told = {}
for (const [name, call] of Object.entries(calls)) {
  try {
    await call()
    told[name] = { code: 'nothing was thrown' }
  } catch ({ code, message, cause, exitCode, constructor }) {
    told[name] = { code, message, exitCode, hasCause: cause instanceof Error, isOurs: constructor === daemonic.DaemonError }
  }
}
console.log(JSON.stringify(told))`

interface Told {
  code: string
  message: string
  exitCode: number
  hasCause: boolean
  isOurs: boolean
}

/** Copies the library to where no addon is built: as it lies in node_modules without a platform's package. */
function withoutAddon(scene: Scene): string {
  const bundles = readdirSync(`${ROOT}/dist`)
    .filter(name => /\.c?js$/.test(name))
    .map(name => `dist/${name}`)
  for (const file of ['package.json', 'native/binding.d.cts', ...bundles]) {
    cpSync(`${ROOT}/${file}`, scene.path(`node_modules/daemonic/${file}`))
  }
  return 'daemonic'
}

test('the library loads its addon at the first use, and once', async t => {
  const scene = new Scene(t)
  const text = `
    let times = 0
    const { dlopen } = process
    process.dlopen = (...args) => (times++, dlopen.apply(process, args))
    const daemonic = await import('${LIBRARY}')
    const atImport = times
    daemonic.PidLock.inspect('/nowhere/d.pid')
    daemonic.processInfo(process.pid)
    console.log(atImport, times)`
  const { stdout, stderr } = await scene.node(scene.write('program.mjs', text))
  t.is(stdout, '0 1\n', stderr)
})

const FLAGS: Record<string, readonly string[]> = {
  '--no-addons': ['--no-addons'],
  'the permission model': [
    process.allowedNodeEnvironmentFlags.has('--permission') ? '--permission' : '--experimental-permission',
    '--allow-fs-read=*',
    '--allow-fs-write=*',
  ],
}

for (const [what, execArgv] of Object.entries(FLAGS)) {
  test(`with ${what}, the import works and every call says what to allow`, async t => {
    const scene = new Scene(t)
    const path = scene.write('program.mjs', `import * as daemonic from '${LIBRARY}'${CALL_ALL}`)
    const { stdout, stderr, code } = await scene.node(path, { execArgv })
    t.is(code, 0, stderr)
    for (const [name, told] of Object.entries<Told>(JSON.parse(stdout))) {
      t.is(told.code, 'ERR_DAEMON_UNSUPPORTED', name)
      t.regex(told.message, /leave --no-addons out, and with --permission add --allow-addons/)
      t.true(told.hasCause && told.isOurs, name)
    }
  })
}

test('on Windows the import works, and every call says that there are no daemons', async t => {
  const scene = new Scene(t)
  // What Windows lacks: the identities of processes.
  scene.write(
    'windows.mjs',
    `Object.defineProperty(process, 'platform', { value: 'win32' })
     for (const name of ['getuid', 'geteuid', 'getgid', 'getegid', 'getgroups']) delete process[name]`,
  )
  const path = scene.write('program.mjs', `import * as daemonic from '${LIBRARY}'${CALL_ALL}`)
  const { stdout, stderr, code } = await scene.node(path, { execArgv: ['--import', scene.path('windows.mjs')] })
  t.is(code, 0, stderr)
  for (const [name, told] of Object.entries<Told>(JSON.parse(stdout))) {
    t.is(told.code, 'ERR_DAEMON_UNSUPPORTED', `${name}: ${told.message}`)
    t.regex(told.message, /Windows has no daemons of this kind/, name)
  }
})

test('on a platform without binaries, the first call lists those with', async t => {
  const scene = new Scene(t)
  const library = withoutAddon(scene)
  const text = `Object.defineProperty(process, 'arch', { value: 'riscv64' })
    const daemonic = await import('${library}')${CALL_ALL}`
  const { stdout, stderr } = await scene.node(scene.write('program.mjs', text))
  t.not(stdout, '', stderr)
  for (const { code, message } of Object.values<Told>(JSON.parse(stdout))) {
    t.is(code, 'ERR_DAEMON_UNSUPPORTED')
    t.regex(message, /^daemonic has no binaries for linux-riscv64: there are some for linux-x64-gnu, .*freebsd-x64$/)
  }
})

test('without the platform’s package, the first call says what to install', async t => {
  const scene = new Scene(t)
  const library = withoutAddon(scene)
  const path = scene.write('program.mjs', `import * as daemonic from '${library}'${CALL_ALL}`)
  const { stdout, stderr } = await scene.node(path)
  t.not(stdout, '', stderr)
  for (const { code, message, hasCause } of Object.values<Told>(JSON.parse(stdout))) {
    t.is(code, 'ERR_DAEMON_UNSUPPORTED')
    t.regex(
      message,
      /^daemonic’s binaries for this platform are not installed: there is no package daemonic-linux-\w+-\w+\./,
    )
    t.regex(message, /npm install daemonic-linux-\w+-\w+@\d+\.\d+\.\d+$/)
    t.true(hasCause)
  }
})

test('the command says it in one line', async t => {
  const scene = new Scene(t)
  withoutAddon(scene)
  const { code, stderr } = await scene.node(scene.path('node_modules/daemonic/dist/cli.cjs'), { args: ['stop', 'x'] })
  t.is(code, 1)
  t.regex(stderr, /^x: daemonic’s binaries for this platform are not installed: [^\n]*\n$/)
})

test('node_modules of another machine is recognised', async t => {
  const scene = new Scene(t)
  const library = withoutAddon(scene)
  const other = scene.path('node_modules/daemonic-darwin-arm64')
  mkdirSync(other)
  cpSync(`${ROOT}/npm/darwin-arm64/package.json`, `${other}/package.json`)
  const text = `import { PidLock } from '${library}'\nPidLock.inspect('/nowhere/d.pid')`
  const { stderr } = await scene.node(scene.write('program.mjs', text))
  t.regex(stderr, /, but one for darwin-arm64: node_modules is from another machine\. Install again here/)
})

test('an addon that can’t be loaded is named, with what the loader said', async t => {
  const scene = new Scene(t)
  const library = withoutAddon(scene)
  for (const libc of ['gnu', 'musl']) {
    scene.write(`node_modules/daemonic/native/daemonic.${process.platform}-${process.arch}-${libc}.node`, 'garbage')
  }
  const text = `import { PidLock } from '${library}'\nPidLock.inspect('/nowhere/d.pid')`
  const { stderr } = await scene.node(scene.write('program.mjs', text))
  t.regex(stderr, /the native addon of daemonic could not be loaded: .*\.node: /)
})
