// `npm run build:all [-- NAME…]`: the addon and the executable of every target that this machine can build, into npm/NAME/.
// What can't be built is said, with its reason, and left out: `npm run pack:all` is what insists on all of them.
import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { delimiter, join } from 'node:path'
import { root } from './root.js'
import { requireCargo } from './setup.js'
import { addonFile, EXECUTABLE, sourceHash, TARGETS } from './targets.js'
import { run, ZIG, zigIsMissing } from './zig.js'

// Directories of their own: other flags than those of `npm run build` would make each build the other's crates anew.
const BUILT = join(root, 'target/shipped')
/** A build of everything, on a busy machine. */
const TARGET_MS = 900_000

requireCargo()
const wanted = process.argv.slice(2)
const unknown = wanted.filter(name => !TARGETS.some(target => target.name === name))
if (unknown.length > 0) {
  console.error(
    `build:all: no target is named ${unknown.join(', ')}; there are ${TARGETS.map(({ name }) => name).join(', ')}`,
  )
  process.exit(2)
}

const noZig = zigIsMissing()
const results = TARGETS.filter(({ name }) => wanted.length === 0 || wanted.includes(name)).map(target => {
  const started = performance.now()
  const skipped = noZig ?? standardLibraryIsMissing(target.addon) ?? standardLibraryIsMissing(target.executable)
  if (!skipped) buildTarget(target)
  const how = skipped ? `skipped: ${skipped}` : `${((performance.now() - started) / 1_000).toFixed(1)} s`
  console.error(`build:all: ${target.name.padEnd(20)} ${how}`)
  return !skipped
})
if (!results.includes(true)) process.exit(1)

/** @param {import('./targets.js').Target} target */
function buildTarget({ name, addon, executable, glibc }) {
  const directory = join(root, 'npm', name)
  const source = sourceHash()
  rmSync(join(directory, 'source'), { force: true })
  const suffix = addon.includes('apple') ? 'dylib' : 'so'
  // musl's own are static unless told otherwise, and an addon is loaded dynamically.
  const flags = addon.includes('musl') ? ['-C', 'target-feature=-crt-static'] : []
  // A library of macOS names itself, by default with the path where it was built.
  if (suffix === 'dylib') flags.push('-C', `link-arg=-Wl,-install_name,@rpath/${addonFile(name)}`)
  const library = `libdaemonic_node.${suffix}`
  install(cargo('daemonic-node', 'release', addon, library, glibc, flags), join(directory, addonFile(name)))
  const executableGlibc = executable === addon ? glibc : undefined
  install(
    cargo('daemonic-supervisor', 'supervisor', executable, EXECUTABLE, executableGlibc),
    join(directory, EXECUTABLE),
  )
  // Last: who finds it knows that both are from these sources.
  writeFileSync(join(directory, 'source'), `${source}\n`)
}

/** Builds a crate; gives the path of what came out. The directory is the same in every checkout but for its root. */
function cargo(crate, profile, target, file, glibc, flags = []) {
  const args = ['zigbuild', '--quiet', '--locked', '--package', crate, '--profile', profile]
  const { status } = spawnSync('cargo', [...args, '--target', glibc ? `${target}.${glibc}` : target], {
    cwd: root,
    stdio: 'inherit',
    timeout: TARGET_MS,
    env: {
      ...process.env,
      PATH: `${join(ZIG, 'bin')}${delimiter}${process.env.PATH}`,
      CARGO_TARGET_DIR: BUILT,
      CARGO_ENCODED_RUSTFLAGS: [...remapped(), ...withoutDebug(target), ...flags].join('\x1f'),
      MACOSX_DEPLOYMENT_TARGET: '11.0',
      SOURCE_DATE_EPOCH: '0',
    },
  })
  if (status !== 0) {
    console.error(`build:all: ${crate} could not be built for ${target}`)
    process.exit(1)
  }
  return join(BUILT, target, profile, file)
}

/** Panics name their source files: without the directories of this machine. */
function remapped() {
  const cargoHome = process.env.CARGO_HOME ?? join(homedir(), '.cargo')
  return [`--remap-path-prefix=${root}=/daemonic/`, `--remap-path-prefix=${cargoHome}=/cargo`]
}

/** The linker for macOS makes a binary's UUID from its debug symbols too, which have paths, before they are stripped. */
function withoutDebug(target) {
  return target.includes('apple') ? ['-C', 'link-arg=-Wl,-S'] : []
}

function install(from, to) {
  mkdirSync(join(to, '..'), { recursive: true })
  // Renamed into place: one that runs, or is loaded, can't be overwritten.
  copyFileSync(from, `${to}.${process.pid}`)
  renameSync(`${to}.${process.pid}`, to)
}

/** @param {string} target @returns {string | undefined} */
function standardLibraryIsMissing(target) {
  const failed = `no standard library for ${target} from rustup`
  const listed = spawnSync('rustup', ['target', 'list', '--installed'], { encoding: 'utf8' })
  if (listed.error) return 'no rustup, which has the standard libraries of other targets'
  if (listed.stdout.split('\n').includes(target)) return undefined
  return run('rustup', ['target', 'add', target], failed) ?? undefined
}
