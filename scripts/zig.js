// Zig, which links for every target: installed from PyPI, pinned by hash, into target/.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './root.js'

export const ZIG = join(root, 'target/zig')
/** A build of everything, on a busy machine. */
const MOST_MS = 900_000

/** Installs it where it is not there yet; gives why it can’t be had. @returns {string | undefined} */
export function zigIsMissing() {
  const requirements = join(root, 'scripts/zig-requirements.txt')
  if (existsSync(join(ZIG, 'bin/cargo-zigbuild')) && run(join(ZIG, 'bin/python-zig'), ['version']) === null)
    return undefined
  console.error('build:all: installing zig')
  return (
    run('python3', ['-m', 'venv', '--clear', ZIG], 'no Python with venv') ??
    run(
      join(ZIG, 'bin/pip'),
      ['install', '--quiet', '--only-binary', ':all:', '--no-deps', '--require-hashes', '-r', requirements],
      'zig can’t be had from PyPI',
    ) ??
    undefined
  )
}

/** Null if it worked, else why not. */
export function run(command, args, failed = command, { cwd = root, env = {} } = {}) {
  const { status, stderr, error } = spawnSync(command, args, {
    cwd,
    env: { ...process.env, ...env },
    encoding: 'utf8',
    timeout: MOST_MS,
  })
  if (status === 0) return null
  const lines = (error?.message ?? stderr).trim().split('\n')
  const line = lines.find(each => /^error/i.test(each)) ?? lines.at(-1)
  return `${failed}${line ? ` (${line})` : ''}`
}
