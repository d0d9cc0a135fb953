// What is wrong with a binary that is to be published: its run bit, paths of the machine that built it, the glibc it needs.
import { spawnSync } from 'node:child_process'
import { accessSync, constants, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { root } from './root.js'
import { EXECUTABLE } from './targets.js'

/** What an addon finds in Node itself. */
const OF_NODE = /^(napi|node_api|uv)_/
/** Bytes of objdump's output. */
const OUTPUT_LIMIT = 2 ** 26

/**
 * Lists what is wrong, as sentences that begin with `label`.
 * @param {string} path
 * @param {string} label
 * @param {import('./targets.js').Target | null} target null for a build of this machine's own, which needs its glibc
 * @returns {string[]}
 */
export function binaryProblems(path, label, target) {
  const problems = path.endsWith(EXECUTABLE) && !isExecutable(path) ? ['has no run bit'] : []
  if (target) {
    const bytes = readFileSync(path)
    const places = [root, homedir()].filter(place => bytes.includes(place))
    problems.push(...places.map(place => `names ${place}, a directory of this machine`))
    if (target.name.startsWith('linux-')) problems.push(...libcProblems(path, target.glibc))
  }
  return problems.map(problem => `${label} ${problem}`)
}

/** What objdump -T shows of a dynamic object: `GLIBC_2.17` beside a function is the version that it came with. */
function libcProblems(path, glibc) {
  const { status, stdout, stderr } = spawnSync('objdump', ['-T', path], { encoding: 'utf8', maxBuffer: OUTPUT_LIMIT })
  if (/not a dynamic object/.test(stderr)) return []
  if (status !== 0) return [`can't be looked at: objdump -T says ${stderr.trim()}`]
  const versions = [...stdout.matchAll(/\bGLIBC_(\d+\.\d+)/g)].map(([, version]) => version)
  const newer = new Set(versions.filter(version => !glibc || isNewer(version, glibc)))
  // A function that came after the floor has no version here at all. Unless it is weak, nothing is loaded without it.
  const undefinedOnes = [...stdout.matchAll(/^[0-9a-f]+ {6}D {2}\*UND\*\t\S+ {6,}(\w+)$/gm)].map(([, symbol]) => symbol)
  const missing = glibc ? undefinedOnes.filter(symbol => !OF_NODE.test(symbol)) : []
  const allowed = glibc ? `at most ${glibc} is allowed` : 'it is for musl'
  return [
    ...[...newer].map(version => `needs glibc ${version}: ${allowed}`),
    ...missing.map(symbol => `needs ${symbol}, which glibc ${glibc} lacks`),
  ]
}

function isNewer(version, floor) {
  const [[major, minor], [floorMajor, floorMinor]] = [version, floor].map(each => each.split('.').map(Number))
  return major > floorMajor || (major === floorMajor && minor > floorMinor)
}

function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
