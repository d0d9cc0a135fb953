// `npm run pack:all`: assembles what is published, as dist/packages/*.tgz with their checksums, and fails where a part is
// missing or wrong. With --native: this platform alone, as `npm run build` built it, into dist/native-packages/, for tests.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, posix } from 'node:path'
import { binaryProblems } from './check-binary.js'
import { root } from './root.js'
import { addonFile, EXECUTABLE, hostTargets, packageName, sourceHash, TARGETS } from './targets.js'

/** Bytes: what somebody who installs the library downloads, beside the binaries of one platform. */
const LIBRARY_LIMIT = 250_000

/** Goes into the library's package as it is; its declarations are found from dist/index.d.ts. */
const FILES = ['README.md', 'CHANGELOG.md', 'LICENSE', 'docs', 'native/binding.d.cts', 'dist/man', 'dist/completions']

/** What the checkout's package.json says to npm that a published one need not say. */
const OF_THE_CHECKOUT = ['private', 'scripts', 'devDependencies', 'napi', 'ava', 'files']

const isNative = process.argv.includes('--native')
const problems = []
const targets = isNative ? builtHere() : TARGETS
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
const stage = mkdtempSync(join(tmpdir(), 'daemonic-pack-'))
try {
  for (const target of targets) stagePlatform(target)
  stageLibrary()
  for (const problem of problems) fail(problem)
  if (problems.length === 0) pack(join(root, 'dist', isNative ? 'native-packages' : 'packages'))
} finally {
  rmSync(stage, { recursive: true, force: true })
}

function builtHere() {
  const found = hostTargets().filter(({ name }) => existsSync(join(root, 'native', addonFile(name))))
  if (found.length === 0) problems.push('nothing is built here: npm run build')
  return found.slice(0, 1)
}

/** @param {import('./targets.js').Target} target */
function stagePlatform(target) {
  const { name } = target
  const from = join(root, 'npm', name)
  const to = join(stage, packageName(name))
  cpSync(from, to, { recursive: true, filter: path => path === from || /(package\.json|README\.md)$/.test(path) })
  cpSync(join(root, 'LICENSE'), join(to, 'LICENSE'))
  const platform = JSON.parse(readFileSync(join(to, 'package.json'), 'utf8'))
  if (platform.version !== manifest.version)
    problems.push(`npm/${name} has version ${platform.version}, not ${manifest.version}`)
  for (const file of [addonFile(name), EXECUTABLE]) {
    const binary = join(isNative ? join(root, 'native') : from, file)
    if (!existsSync(binary)) problems.push(`npm/${name}/${file} is missing: npm run build:all -- ${name}`)
    else {
      problems.push(...binaryProblems(binary, `npm/${name}/${file}`, isNative ? null : target))
      cpSync(binary, join(to, file))
    }
  }
  // A build of this checkout need not be from its sources as they are now: the tests build first.
  if (!isNative) {
    const source = existsSync(join(from, 'source')) ? readFileSync(join(from, 'source'), 'utf8').trim() : null
    if (source !== sourceHash()) problems.push(`npm/${name} was built from other sources: npm run build:all -- ${name}`)
    platform.daemonicSource = source
  }
  if (manifest.repository) platform.repository = manifest.repository
  writeJson(join(to, 'package.json'), platform)
}

function stageLibrary() {
  const to = join(stage, manifest.name)
  const bundles = readdirSync(join(root, 'dist')).filter(name => /\.c?js$/.test(name))
  const files = [...FILES, ...bundles.map(name => `dist/${name}`), ...declarations('dist/index.d.ts')]
  for (const file of files) {
    // npm leaves symbolic links out.
    if (existsSync(join(root, file))) cpSync(join(root, file), join(to, file), { recursive: true, dereference: true })
    else problems.push(`${file} is missing: npm run build:ts`)
  }
  const published = Object.fromEntries(Object.entries(manifest).filter(([key]) => !OF_THE_CHECKOUT.includes(key)))
  published.optionalDependencies = Object.fromEntries(targets.map(({ name }) => [packageName(name), manifest.version]))
  writeJson(join(to, 'package.json'), published)
}

/** Lists a declaration file and all that it imports: what was compiled from sources that are gone is left out. */
function declarations(first) {
  const found = new Set([first])
  for (const file of found) {
    if (!existsSync(join(root, file))) continue
    // Without comments, whose examples import too.
    const text = readFileSync(join(root, file), 'utf8').replaceAll(/\/\*[\s\S]*?\*\//g, '')
    for (const [, path] of text.matchAll(/(?:from|import\()\s*['"](\.[^'"]*)\.js['"]/g)) {
      found.add(posix.join(posix.dirname(file), `${path}.d.ts`))
    }
  }
  return [...found]
}

/** npm sorts the files of a package, and gives all of them the same date. */
function pack(destination) {
  rmSync(destination, { recursive: true, force: true })
  mkdirSync(destination, { recursive: true })
  const names = readdirSync(stage).sort()
  const args = [
    'pack',
    '--json',
    '--ignore-scripts',
    '--pack-destination',
    destination,
    ...names.map(name => `./${name}`),
  ]
  const { status, stdout, stderr } = spawnSync('npm', args, { cwd: stage, encoding: 'utf8' })
  if (status !== 0) throw new Error(`npm pack failed: ${stderr}`)
  const packed = Object.values(JSON.parse(stdout))
  const sums = packed.map(({ filename, name, size, unpackedSize, files }) => {
    checkModes(name, files)
    if (name === manifest.name && size > LIBRARY_LIMIT)
      fail(`${filename} has ${size} bytes, more than ${LIBRARY_LIMIT}`)
    console.log(`${filename.padEnd(40)} ${kilobytes(size)} packed, ${kilobytes(unpackedSize)} installed`)
    const sum = createHash('sha256')
      .update(readFileSync(join(destination, filename)))
      .digest('hex')
    return `${sum}  ${filename}\n`
  })
  writeFileSync(join(destination, 'SHA256SUMS'), sums.join(''))
  console.log(`${dirname(join(destination, 'x')).slice(root.length)}: ${packed.length} packages`)
}

/** The run bit must have come into the archive, not only have been on the disk. */
function checkModes(name, files) {
  const needed = name === manifest.name ? manifest.bin.daemonic : EXECUTABLE
  const entry = files.find(({ path }) => path === needed)
  if (entry === undefined || (entry.mode & 0o111) !== 0o111)
    fail(`${name} was packed without ${needed} that can be run`)
}

function fail(problem) {
  console.error(`pack:all: ${problem}`)
  process.exitCode = 1
}

function kilobytes(bytes) {
  return `${(bytes / 1_000).toFixed(0).padStart(5)} kB`
}

function writeJson(path, value) {
  writeFileSync(path, `${JSON.stringify(value, null, 2)}\n`)
}
