// What is published: the platform packages agree with the targets and with the library, and say who may install them.
import { spawnSync } from 'node:child_process'
import {
  appendFileSync,
  chmodSync,
  cpSync,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import test from 'ava'
import { copyOfCheckout, PLATFORMS, pretendBuilt, ROOT, runScript, withoutCargo } from './support/checkout.js'
import { Scene } from './support/scene.js'

const library = manifest('.')

/** What Node says of each platform, and Rust of its target. */
const TARGETS: Readonly<Record<string, readonly [os: string, cpu: string, libc: string | undefined, rust: string]>> = {
  'darwin-arm64': ['darwin', 'arm64', undefined, 'aarch64-apple-darwin'],
  'darwin-x64': ['darwin', 'x64', undefined, 'x86_64-apple-darwin'],
  'freebsd-x64': ['freebsd', 'x64', undefined, 'x86_64-unknown-freebsd'],
  'linux-arm-gnueabihf': ['linux', 'arm', 'glibc', 'armv7-unknown-linux-gnueabihf'],
  'linux-arm64-gnu': ['linux', 'arm64', 'glibc', 'aarch64-unknown-linux-gnu'],
  'linux-arm64-musl': ['linux', 'arm64', 'musl', 'aarch64-unknown-linux-musl'],
  'linux-x64-gnu': ['linux', 'x64', 'glibc', 'x86_64-unknown-linux-gnu'],
  'linux-x64-musl': ['linux', 'x64', 'musl', 'x86_64-unknown-linux-musl'],
}

test('there is a package for each target', t => {
  t.deepEqual(PLATFORMS, Object.keys(TARGETS))
  t.deepEqual(
    [...library.napi.targets].sort(),
    Object.values(TARGETS)
      .map(([, , , rust]) => rust)
      .sort(),
  )
})

for (const name of PLATFORMS) {
  test(`${name} can be installed where it works, and holds both binaries`, t => {
    const platform = manifest(`npm/${name}`)
    const [os = '', cpu = '', libc] = TARGETS[name] ?? []
    t.is(platform.name, `daemonic-${name}`)
    t.is(platform.version, library.version)
    t.deepEqual(platform.engines, library.engines)
    t.deepEqual([platform.os, platform.cpu, platform.libc], [[os], [cpu], libc && [libc]])
    t.deepEqual(platform.files, [`daemonic.${name}.node`, 'daemonic-supervisor'])
    t.is(platform.main, `daemonic.${name}.node`)
    t.is(platform.scripts, undefined)
  })
}

test('the library can be installed on every system, runs nothing for that, and needs no other package', t => {
  t.is(library.os, undefined)
  t.is(library.dependencies, undefined)
  const ofInstalls = ['preinstall', 'install', 'postinstall', 'prepare', 'prepublish']
  t.deepEqual(
    Object.keys(library.scripts).filter(name => ofInstalls.includes(name)),
    [],
  )
})

test('the checkout itself can’t be published by mistake, and installs without the platform packages', t => {
  t.true(library.private)
  t.is(library.optionalDependencies, undefined)
})

test('the bundles import nothing but Node', t => {
  const bundles = readdirSync(`${ROOT}/dist`).filter(name => /\.c?js$/.test(name))
  t.true(bundles.includes('cli.cjs') && bundles.includes('index.js'))
  for (const name of bundles) {
    const text = readFileSync(`${ROOT}/dist/${name}`, 'utf8')
    const imported = [...text.matchAll(/(?<!["\w-])(?:from|import|require\()\s*"([^"\s]+)"/g)].map(
      ([, path = '']) => path,
    )
    t.deepEqual(
      imported.filter(path => !path.startsWith('node:') && !path.startsWith('./')),
      [],
      name,
    )
  }
})

test('packing says what is missing, and packs nothing then', async t => {
  const copy = copyOfCheckout(new Scene(t))
  const { status, stderr } = runScript(copy, 'pack-all.js')
  t.is(status, 1)
  for (const name of PLATFORMS) {
    t.true(stderr.includes(`npm/${name}/daemonic.${name}.node is missing: npm run build:all -- ${name}\n`), stderr)
    t.true(stderr.includes(`npm/${name}/daemonic-supervisor is missing: npm run build:all -- ${name}\n`), stderr)
  }
  t.false(existsSync(`${copy}/dist/packages`))
})

test('packing refuses other sources, another version, a missing run bit, and paths of this machine', async t => {
  const copy = copyOfCheckout(new Scene(t))
  await pretendBuilt(copy)
  writeFileSync(`${copy}/npm/linux-x64-musl/source`, 'other\n')
  chmodSync(`${copy}/npm/freebsd-x64/daemonic-supervisor`, 0o644)
  const arm = `${copy}/npm/linux-arm-gnueabihf/package.json`
  writeFileSync(arm, readFileSync(arm, 'utf8').replace(library.version, '0.0.0'))
  appendFileSync(`${copy}/npm/darwin-x64/daemonic.darwin-x64.node`, `${copy}/crates/core/src/lib.rs`)
  // The program that runs this test needs a newer glibc than is allowed.
  const needsGlibc = spawnSync('objdump', ['-T', '/bin/ls'], { encoding: 'utf8' }).stdout?.includes('GLIBC_2.3')
  if (needsGlibc) cpSync('/bin/ls', `${copy}/npm/linux-arm64-gnu/daemonic.linux-arm64-gnu.node`)
  const { status, stderr } = runScript(copy, 'pack-all.js')
  t.is(status, 1)
  t.regex(stderr, /npm\/linux-x64-musl was built from other sources/)
  t.regex(stderr, /npm\/freebsd-x64\/daemonic-supervisor has no run bit/)
  t.regex(stderr, /npm\/linux-arm-gnueabihf has version 0\.0\.0, not /)
  t.regex(stderr, /npm\/darwin-x64\/daemonic\.darwin-x64\.node names \S+checkout\/, a directory of this machine/)
  if (needsGlibc) t.regex(stderr, /daemonic\.linux-arm64-gnu\.node needs glibc 2\.\d+: at most 2\.17 is allowed/)
})

test('packing twice gives the same bytes, whatever the dates of the files', async t => {
  const copy = copyOfCheckout(new Scene(t))
  await pretendBuilt(copy)
  const pack = () => {
    const { status, stderr } = runScript(copy, 'pack-all.js')
    t.is(status, 0, stderr)
    return readFileSync(`${copy}/dist/packages/SHA256SUMS`, 'utf8')
  }
  const sums = pack()
  t.is(sums.trimEnd().split('\n').length, PLATFORMS.length + 1)
  const longAgo = new Date('2001-02-03')
  for (const name of PLATFORMS) utimesSync(`${copy}/npm/${name}/daemonic-supervisor`, longAgo, longAgo)
  t.is(pack(), sums)
})

// ── A machine without Rust ───────────────────────────────────────────────────────────────

test('without cargo a checkout takes binaries that were built from its sources, and says so', async t => {
  const scene = new Scene(t)
  const copy = copyOfCheckout(scene)
  await pretendBuilt(copy)
  t.is(runScript(copy, 'pack-all.js').status, 0)
  const { status, stderr } = runScript(copy, 'setup.js', withoutCargo(scene))
  t.is(status, 0, stderr)
  t.regex(
    stderr,
    /^setup: no cargo here: took the binaries of daemonic-linux-\S+ of dist\/packages, built from these sources\n/,
  )
  t.true((statSync(`${copy}/native/daemonic-supervisor`).mode & 0o111) === 0o111)
  t.is(runScript(copy, 'setup.js', withoutCargo(scene)).stderr, '', 'the second time there is nothing to do')
})

test('without cargo, binaries of other sources are left alone, and one line says how Rust is installed', async t => {
  const scene = new Scene(t)
  const copy = copyOfCheckout(scene)
  await pretendBuilt(copy)
  t.is(runScript(copy, 'pack-all.js').status, 0)
  appendFileSync(`${copy}/Cargo.toml`, '# another source\n')
  const { status, stderr } = runScript(copy, 'setup.js', withoutCargo(scene))
  t.is(status, 1)
  t.regex(
    stderr,
    /^setup: no cargo here, and no prebuilt binaries of these sources: install Rust with curl .*rustup\.rs .*\n$/,
  )
  t.deepEqual(readdirSync(`${copy}/native`), ['binding.d.cts'])
})

// ── What is compiled again ───────────────────────────────────────────────────────────────

test('setup compiles again when a source of the published files has changed, how they are bundled included', t => {
  const scene = new Scene(t)
  const copy = copyOfCheckout(scene)
  const env = withoutCargo(scene)
  // Tools that do nothing: what setup asks of them is what it says.
  for (const tool of ['npm', 'cargo']) {
    rmSync(scene.path(`bin/${tool}`), { force: true })
    chmodSync(scene.write(`bin/${tool}`, '#!/bin/sh\n'), 0o755)
  }
  // In the place of a link, so that the checkout's own file stays as it is.
  const writtenAt = (file: string, seconds: number) => {
    rmSync(`${copy}/${file}`, { force: true })
    writeFileSync(`${copy}/${file}`, '')
    utimesSync(`${copy}/${file}`, seconds, seconds)
  }
  const now = Date.now() / 1000
  for (const [index, file] of ['index.ts', 'preload.ts', 'scripts/bundle.js'].entries()) {
    const built = now + 1000 * (index + 1)
    writtenAt('dist/index.js', built)
    t.notRegex(runScript(copy, 'setup.js', env).stderr, /compiling TypeScript/)
    writtenAt(file, built + 1)
    t.regex(runScript(copy, 'setup.js', env).stderr, /compiling TypeScript/, file)
  }
})

function manifest(directory: string) {
  return JSON.parse(readFileSync(`${ROOT}/${directory}/package.json`, 'utf8'))
}
