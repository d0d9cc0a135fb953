// Part of `npm version`: the platform packages and the crates have the library's version.
import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './root.js'
import { packageVersion } from './setup.js'
import { TARGETS } from './targets.js'

const version = packageVersion()
for (const { name } of TARGETS) replace(`npm/${name}/package.json`, /("version": ")[^"]*/)
replace('Cargo.toml', /(\[workspace\.package\]\nversion = ")[^"]*/)
// Writes the crates' new version into Cargo.lock.
const { status } = spawnSync('cargo', ['metadata', '--offline', '--format-version=1'], {
  cwd: root,
  stdio: ['ignore', 'ignore', 'inherit'],
})
process.exitCode = status ?? 1

/** @param {string} file @param {RegExp} before what ends where the version begins, as its first group */
function replace(file, before) {
  const text = readFileSync(join(root, file), 'utf8')
  writeFileSync(join(root, file), text.replace(before, `$1${version}`))
}
