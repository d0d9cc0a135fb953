// Prebuilt binaries for a checkout on a machine without Rust: from `npm run pack:all`, or from the registry.
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { root } from './root.js'
import { addonFile, EXECUTABLE, hostTargets, packageName, sourceHash } from './targets.js'

const REGISTRY_MS = 60_000

/**
 * Puts this platform's binaries into native/, if there are some that were built from exactly these sources: the same
 * version isn't the same source. Gives where they are from, as a sentence reads it; undefined where there are none.
 * @param {string} version
 * @returns {string | undefined}
 */
export function takePrebuilt(version) {
  const source = sourceHash()
  for (const { name } of fittingTargets()) {
    for (const [place, bring] of Object.entries({ 'dist/packages': fromDisk, 'the registry': fromRegistry })) {
      const directory = mkdtempSync(join(tmpdir(), 'daemonic-prebuilt-'))
      try {
        const archive = bring(packageName(name), version, directory)
        if (archive && unpack(archive, directory) && sourceOf(directory) === source) {
          install(join(directory, 'package'), name)
          return `${packageName(name)}@${version} of ${place}`
        }
      } finally {
        rmSync(directory, { recursive: true, force: true })
      }
    }
  }
  return undefined
}

/** Of two libcs the one that Node itself runs on. */
function fittingTargets() {
  const targets = hostTargets()
  if (targets.length < 2) return targets
  process.report.excludeNetwork = true
  const libc = process.report.getReport().header.glibcVersionRuntime ? 'gnu' : 'musl'
  return targets.filter(({ name }) => name.endsWith(libc))
}

function fromDisk(name, version) {
  const path = join(root, 'dist/packages', `${name}-${version}.tgz`)
  return existsSync(path) ? path : undefined
}

/** npm checks what it downloads against the registry's hash. */
function fromRegistry(name, version, directory) {
  const args = ['pack', `${name}@${version}`, '--silent', '--pack-destination', directory]
  spawnSync('npm', args, { cwd: directory, stdio: 'ignore', timeout: REGISTRY_MS })
  const file = readdirSync(directory).find(each => each.endsWith('.tgz'))
  return file && join(directory, file)
}

function unpack(archive, directory) {
  return spawnSync('tar', ['-xzf', archive, '-C', directory], { stdio: 'ignore' }).status === 0
}

function sourceOf(directory) {
  return JSON.parse(readFileSync(join(directory, 'package/package.json'), 'utf8')).daemonicSource
}

function install(from, name) {
  const now = new Date()
  for (const file of [addonFile(name), EXECUTABLE]) {
    const to = join(root, 'native', file)
    // Not overwritten: a running one can't be, and a loaded one must not be.
    rmSync(to, { force: true })
    cpSync(join(from, file), to)
    // Newer than the sources that they were built from.
    utimesSync(to, now, now)
  }
}
