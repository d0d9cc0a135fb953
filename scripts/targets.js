// The eight targets, and what of each is named where. npm/NAME/package.json says who may install it.
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './root.js'

/**
 * @typedef {object} Target
 * @property {string} name its directory in npm/, and the end of its package's name: what Node says of itself
 * @property {string} addon Rust's name for it
 * @property {string} executable Rust's name of what the executable is built for: musl's is static, and runs with any libc
 * @property {string} [glibc] the oldest version of glibc that the addon runs with
 */

/** The version of CentOS 7, and what Rust itself asks for. */
const GLIBC_FLOOR = '2.17'

/** @type {readonly Target[]} */
export const TARGETS = [
  {
    name: 'linux-x64-gnu',
    addon: 'x86_64-unknown-linux-gnu',
    executable: 'x86_64-unknown-linux-musl',
    glibc: GLIBC_FLOOR,
  },
  {
    name: 'linux-arm64-gnu',
    addon: 'aarch64-unknown-linux-gnu',
    executable: 'aarch64-unknown-linux-musl',
    glibc: GLIBC_FLOOR,
  },
  { name: 'linux-x64-musl', addon: 'x86_64-unknown-linux-musl', executable: 'x86_64-unknown-linux-musl' },
  { name: 'linux-arm64-musl', addon: 'aarch64-unknown-linux-musl', executable: 'aarch64-unknown-linux-musl' },
  {
    name: 'linux-arm-gnueabihf',
    addon: 'armv7-unknown-linux-gnueabihf',
    executable: 'armv7-unknown-linux-gnueabihf',
    glibc: GLIBC_FLOOR,
  },
  { name: 'darwin-x64', addon: 'x86_64-apple-darwin', executable: 'x86_64-apple-darwin' },
  { name: 'darwin-arm64', addon: 'aarch64-apple-darwin', executable: 'aarch64-apple-darwin' },
  { name: 'freebsd-x64', addon: 'x86_64-unknown-freebsd', executable: 'x86_64-unknown-freebsd' },
]

/** The executable beside the addon, in every package. */
export const EXECUTABLE = 'daemonic-supervisor'

/** @param {string} name */
export const addonFile = name => `daemonic.${name}.node`

/** @param {string} name */
export const packageName = name => `daemonic-${name}`

/** The targets that could be this host, where a libc's name is part of the target's. */
export function hostTargets() {
  const prefix = `${process.platform}-${process.arch}`
  return TARGETS.filter(({ name }) => name === prefix || name.startsWith(`${prefix}-`))
}

/**
 * A hash of all that binaries are made of. Two checkouts with the same one have the same binaries, whatever their version
 * says; binaries with another one are from other sources.
 */
export function sourceHash() {
  const hash = createHash('sha256')
  for (const path of ['Cargo.toml', 'Cargo.lock', ...filesBelow('crates')]) {
    const text = readFileSync(join(root, path))
    hash.update(`${path}\0${text.length}\0`).update(text)
  }
  return hash.digest('hex')
}

/** @param {string} directory @returns {string[]} */
function filesBelow(directory) {
  const entries = readdirSync(join(root, directory), { withFileTypes: true })
  const paths = entries.flatMap(entry => {
    const path = `${directory}/${entry.name}`
    return entry.isDirectory() ? filesBelow(path) : [path]
  })
  return paths.sort()
}
