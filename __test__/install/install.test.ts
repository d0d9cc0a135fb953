// The published package, installed by each package manager into a clean directory, does what it is for.
// `npm run test:install` starts the registry that these tests install from.
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { copyOfCheckout, ROOT, runScript, withoutCargo } from '../support/checkout.js'
import { STRANGER } from '../support/identity.js'
import { asRoot } from '../support/root.js'
import { Scene } from '../support/scene.js'
import { MANAGERS, type Manager, Project } from './managers.js'

const { version } = JSON.parse(readFileSync(`${ROOT}/package.json`, 'utf8'))

const isWhole = process.env.DAEMONIC_TEST_INSTALL === 'whole'
/** Bytes: the library with the binaries of one platform. */
const INSTALLED_LIMIT = 4_000_000

const PROGRAMS = {
  'module.mjs': `
import { daemonize } from 'daemonic'
const daemon = daemonize({ pidFile: import.meta.dirname + '/module.pid', listen: { http: '127.0.0.1:0' } })
const { createServer } = await import('node:http')
await daemon.serve(createServer((request, response) => response.end('hello')), 'http')
`,
  'supervised.cjs': `
const { daemonize } = require('daemonic')
daemonize({ pidFile: __dirname + '/supervised.pid', monitor: true })
setInterval(() => {}, 1_000_000)
`,
  'worker.mjs': `setInterval(() => {}, 1_000_000)`,
  'stop.cjs': `
const { stop } = require('daemonic')
stop(__dirname + '/' + process.argv[2]).then(({ wasRunning }) => console.log('was running:', wasRunning))
`,
}

for (const [name, manager] of Object.entries(MANAGERS)) {
  test(`${name}: what it installs starts daemons, supervised ones, and has the command`, async t => {
    await installAndUse(t, manager)
  })
  asRoot(`${name}: for an ordinary user, too`, async t => {
    await installAndUse(t, manager, STRANGER)
  })
}

test('npm: the types are found by every resolution', async t => {
  const scene = new Scene(t)
  await install(t, scene, MANAGERS.npm as Manager)
  const text = `import { type Daemon, daemonize, PidLock } from 'daemonic'
const daemon: Daemon = daemonize({ pidFile: 'x.pid', workers: 2 })
export const lock: PidLock = PidLock.acquire('y.pid')
export const pid: number = daemon.pid\n`
  for (const file of ['module.mts', 'common.cts']) scene.write(file, text)
  for (const [module, resolution] of [
    ['nodenext', 'nodenext'],
    ['preserve', 'bundler'],
  ]) {
    const flags = ['--noEmit', '--strict', '--module', `${module}`, '--moduleResolution', `${resolution}`]
    const types = ['--types', 'node', '--typeRoots', `${ROOT}/node_modules/@types`]
    const tsc = `${ROOT}/node_modules/typescript/bin/tsc`
    const result = await scene.node(tsc, { args: [...flags, ...types, 'module.mts', 'common.cts'] })
    t.is(result.code, 0, `${resolution}: ${result.stdout}`)
  }
})

test('npm: without optional dependencies the first call says what to install', async t => {
  const scene = new Scene(t)
  await install(t, scene, MANAGERS.npm as Manager, undefined, ['--omit=optional'])
  const { code, stdout } = await asks(scene)
  t.is(code, 0)
  t.regex(stdout, /^ERR_DAEMON_UNSUPPORTED daemonic’s binaries for this platform are not installed/)
  t.regex(stdout, new RegExp(`npm install daemonic-${process.platform}-${process.arch}\\S*@${version}\n$`))
})

// With all packages published: the short form has this platform's alone.
test('of npm’s platforms, a node_modules for another one is recognised', async t => {
  const scene = new Scene(t)
  await install(t, scene, MANAGERS.npm as Manager, undefined, ['--os=freebsd', '--cpu=x64'])
  const { code, stdout } = await asks(scene)
  t.is(code, 0)
  t.regex(stdout, /but one for freebsd-x64: node_modules is from another machine\. Install again here/)
})

test('of the registry, a checkout without cargo takes binaries of its own sources', t => {
  const scene = new Scene(t)
  const copy = copyOfCheckout(scene)
  const { status, stderr } = runScript(copy, 'setup.js', {
    ...withoutCargo(scene),
    npm_config_registry: process.env.DAEMONIC_TEST_REGISTRY,
    npm_config_cache: scene.path('cache'),
  })
  t.is(status, 0, stderr)
  t.regex(
    stderr,
    /^setup: no cargo here: took the binaries of daemonic-linux-\S+ of the registry, built from these sources\n/,
  )
  // The program runs them.
  const text = `import { processInfo } from '${copy}/dist/index.js'\nconsole.log(processInfo(process.pid).pid)`
  return scene.node(scene.write('program.mjs', text)).then(({ stdout }) => t.regex(stdout, /^\d+\n$/))
})

function asks(scene: Scene) {
  const text = `import('daemonic').then(({ PidLock }) => PidLock.inspect('/nowhere/d.pid')).catch(({ code, message }) => console.log(code, message))`
  return scene.node(scene.write('asks.mjs', text))
}

async function install(
  t: ExecutionContext,
  scene: Scene,
  manager: Manager,
  uid?: number,
  flags: readonly string[] = [],
): Promise<Project> {
  const project = new Project(scene, uid)
  const files = { 'package.json': '{ "name": "project", "private": true }', ...manager.files, ...PROGRAMS }
  for (const [name, text] of Object.entries(files)) scene.write(name, text)
  if (uid !== undefined)
    for (const name of ['package.json', ...Object.keys(manager.files ?? {})]) scene.giveTo(uid, name)
  const { code, stdout, stderr } = await project.run(manager.command, [...manager.add, `daemonic@${version}`, ...flags])
  t.is(code, 0, stdout + stderr)
  t.notRegex(stderr, /install script|postinstall/i)
  return project
}

async function installAndUse(t: ExecutionContext, manager: Manager, uid?: number): Promise<void> {
  const scene = new Scene(t)
  const project = await install(t, scene, manager, uid)
  const ok = async (command: readonly string[], more: readonly string[] = []): Promise<string> => {
    const { code, stdout, stderr } = await project.run(command, more)
    t.is(code, 0, `${command.join(' ')} ${more.join(' ')}: ${stdout}${stderr}`)
    return stdout
  }

  await ok([...manager.exec, 'node', scene.path('module.mjs')])
  const { addresses } = JSON.parse(scene.read('module.json'))
  t.is(await (await fetch(`http://${addresses.http}/`)).text(), 'hello')
  t.regex(await ok([...manager.exec, 'node', scene.path('stop.cjs'), 'module.pid']), /was running: true/)

  await ok([...manager.exec, 'node', scene.path('supervised.cjs')])
  t.regex(readlinkSync(`/proc/${scene.read('supervised.pid').trim()}/exe`), /\/daemonic-supervisor$/)
  t.regex(await ok([...manager.exec, 'node', scene.path('stop.cjs'), 'supervised.pid']), /was running: true/)

  await ok([...manager.exec, 'daemonic', 'start', scene.path('worker.mjs'), '--name', 'worker'])
  t.regex(await ok([...manager.exec, 'daemonic', 'status', 'worker', '--json']), /"state": ?"running"/)
  await ok([...manager.exec, 'daemonic', 'stop', 'worker'])
  await scene.empty()

  if (manager.hasNodeModules) measure(t, scene.path('node_modules'))
}

/** Two packages, and not many bytes. Links are not followed: what they lead to is counted where it lies. */
function measure(t: ExecutionContext, directory: string): void {
  const files = readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(entry => join(entry.parentPath, entry.name))
  const bytes = files.reduce((sum, file) => sum + lstatSync(file).size, 0)
  const packages = files.filter(file => /\/node_modules\/[\w-]+\/package\.json$/.test(file))
  t.is(packages.length, 2, packages.join('\n'))
  t.log(`${packages.length} packages, ${(bytes / 1_000_000).toFixed(2)} MB`)
  // The short form packs this checkout's own build, which may be one without optimisation.
  if (isWhole) t.true(bytes <= INSTALLED_LIMIT, `${bytes}`)
}
