// Makes a checkout ready to run: dependencies, the native addon, the compiled TypeScript; only what is out of date.
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, realpathSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { takePrebuilt } from './prebuilt.js'
import { root } from './root.js'

export { root }

const INSTALL_RUST = "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal"

const NATIVE_SOURCES = ['crates', 'Cargo.toml', 'Cargo.lock']
const TS_SOURCES = [
  ...[
    'index.ts',
    'preload.ts',
    'src',
    'examples',
    '__test__',
    'bench',
    'programs',
    'tsconfig.json',
    'native/binding.d.cts',
  ],
  'scripts/bundle.js',
]

/**
 * Brings everything up to date, with a line on stderr for each step; silent when there is nothing to do.
 * Exits with 1 and one sentence if a step fails or a tool is missing.
 * @param {{ debug?: boolean }} [options] `debug` builds the addon quickly, without optimisation, if it has to be built
 */
export function setup({ debug = false } = {}) {
  requireNode()
  const nativeIsStale = newest(NATIVE_SOURCES) > addonTime()
  const takesPrebuilt = nativeIsStale && !hasCargo()
  if (takesPrebuilt) prebuilt()

  if (newest(['package-lock.json']) > newest(['node_modules/.package-lock.json'])) {
    step('installing dependencies', 'ci', '--no-audit', '--no-fund', '--loglevel=error')
  }
  if (nativeIsStale && !takesPrebuilt) {
    step('building the native addon', 'run', '--silent', debug ? 'build:native:debug' : 'build:native')
  }
  if (newest(TS_SOURCES) > newest(['dist/index.js'])) {
    // From scratch, so that no file stays that was compiled from a deleted source (a test, for example).
    clearDist()
    step('compiling TypeScript', 'run', '--silent', 'build:ts')
  }
}

/** Exits with one sentence if cargo can't be run. */
export function requireCargo() {
  if (!hasCargo()) fail(`cargo could not be run: install Rust with ${INSTALL_RUST}`)
}

/** Says whether Rust sources can be built here. */
export function hasCargo() {
  return spawnSync('cargo', ['--version'], { stdio: 'ignore' }).status === 0
}

function prebuilt() {
  const from = takePrebuilt(packageVersion())
  if (!from) fail(`no cargo here, and no prebuilt binaries of these sources: install Rust with ${INSTALL_RUST}`)
  console.error(`setup: no cargo here: took the binaries of ${from}, built from these sources`)
}

/** Deletes what was compiled. The packages stay: they may be the only binaries that there are. */
function clearDist() {
  const entries = existsSync(join(root, 'dist')) ? readdirSync(join(root, 'dist')) : []
  for (const entry of entries.filter(name => !name.endsWith('packages'))) {
    rmSync(join(root, 'dist', entry), { recursive: true, force: true })
  }
}

/** Reads the version from package.json. */
export function packageVersion() {
  return JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).version
}

function requireNode() {
  const { engines } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const [major, minor] = engines.node.match(/\d+/g).map(Number)
  const [runningMajor, runningMinor] = process.versions.node.split('.').map(Number)
  if (runningMajor < major || (runningMajor === major && runningMinor < minor)) {
    fail(`Node ${process.versions.node} is too old: ${engines.node} is needed.`)
  }
}

/** Runs npm with these arguments; its output goes to stderr. */
function step(title, ...args) {
  console.error(`setup: ${title}`)
  const env = { ...process.env, CARGO_TERM_QUIET: 'true' }
  const { status } = spawnSync('npm', args, { cwd: root, env, stdio: ['ignore', 2, 2] })
  if (status !== 0) fail(`${title} failed (npm ${args.join(' ')}).`)
}

function fail(sentence) {
  console.error(`setup: ${sentence}`)
  process.exit(1)
}

function addonTime() {
  const prefix = `daemonic.${process.platform}-${process.arch}`
  const files = existsSync(join(root, 'native')) ? readdirSync(join(root, 'native')) : []
  if (!files.includes('daemonic-supervisor')) return 0
  return newest(files.filter(name => name.startsWith(prefix)).map(name => join('native', name)))
}

/** The latest modification below these paths, in ms; 0 if none exists. Directories count: a deletion changes theirs. */
function newest(paths) {
  const times = paths.map(path => {
    const stat = statSync(join(root, path), { throwIfNoEntry: false })
    if (!stat?.isDirectory()) return stat?.mtimeMs ?? 0
    const entries = readdirSync(join(root, path)).map(name => join(path, name))
    return Math.max(stat.mtimeMs, newest(entries))
  })
  return Math.max(0, ...times)
}

if (realpathSync(process.argv[1] ?? '.') === fileURLToPath(import.meta.url)) setup()
