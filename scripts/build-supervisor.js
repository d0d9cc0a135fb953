// Builds the native supervisor into native/: static, so that one executable serves every libc of a Linux host.
import { spawnSync } from 'node:child_process'
import { copyFileSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const ARCHITECTURES = { x64: 'x86_64', arm64: 'aarch64' }
const architecture = ARCHITECTURES[process.arch]
const isDebug = process.argv.includes('--debug')

const musl = process.platform === 'linux' && architecture ? `${architecture}-unknown-linux-musl` : undefined
if (musl && hasTarget(musl)) build(musl)
else {
  // Without musl's standard library the host's libc is linked in, which takes twice the memory.
  if (process.platform === 'linux') console.error('the supervisor is built for this host’s libc: no musl target')
  build(undefined, process.platform === 'linux' ? { RUSTFLAGS: '-C target-feature=+crt-static' } : {})
}

function hasTarget(target) {
  const ask = args => spawnSync('rustup', args, { encoding: 'utf8', timeout: 120_000 })
  const installed = () => ask(['target', 'list', '--installed']).stdout?.includes(target) ?? false
  return installed() || (ask(['target', 'add', target]).status === 0 && installed())
}

function build(target, env = {}) {
  const args = ['build', '--locked', '--package', 'daemonic-supervisor']
  if (!isDebug) args.push('--profile', 'supervisor')
  // A target of its own has a directory of its own: the flags don't make the other crates build anew.
  const directory = target ?? (env.RUSTFLAGS ? hostTarget() : undefined)
  if (directory) args.push('--target', directory)
  const { status } = spawnSync('cargo', args, { cwd: root, stdio: 'inherit', env: { ...process.env, ...env } })
  if (status !== 0) process.exit(status ?? 1)
  const built = join(root, 'target', directory ?? '', isDebug ? 'debug' : 'supervisor', 'daemonic-supervisor')
  // Rename into place: a running executable can't be overwritten.
  const draft = join(root, 'native', `daemonic-supervisor.${process.pid}`)
  copyFileSync(built, draft)
  renameSync(draft, join(root, 'native', 'daemonic-supervisor'))
}

function hostTarget() {
  const { stdout } = spawnSync('rustc', ['-vV'], { encoding: 'utf8' })
  return stdout.match(/^host: (.*)$/m)?.[1]
}
