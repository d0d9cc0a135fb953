// `npm run test:runtimes`: all tests on every line of Node that is supported, and the conformance tests on Bun and Deno, each
// from its package in the registry. Arguments name the runtimes that are wanted: `npm run test:runtimes -- node@24 bun`.
// With --short only the conformance tests, for Node too.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { root } from './root.js'
import { setup } from './setup.js'

/** By package: the executable in it, and the arguments that a program needs. */
const RUNTIMES = {
  'node@20': { executable: 'node/bin/node' },
  'node@22': { executable: 'node/bin/node' },
  'node@24': { executable: 'node/bin/node' },
  'node@26': { executable: 'node/bin/node' },
  bun: { executable: '.bin/bun' },
  deno: { executable: '.bin/deno', args: ['run', '--quiet', '-A', '--node-modules-dir=manual'] },
}
const AVA = 'node_modules/ava/entrypoints/cli.mjs'

const given = process.argv.slice(2).filter(each => each !== '--short')
const isShort = process.argv.includes('--short')
const unknown = given.filter(each => !(each in RUNTIMES))
if (unknown.length > 0) {
  console.error(`there is no ${unknown.join(', ')}; there is: ${Object.keys(RUNTIMES).join(', ')}`)
  process.exit(2)
}

setup()
const rows = (given.length > 0 ? given : Object.keys(RUNTIMES)).map(name => {
  console.log(`── ${name}`)
  const result = tested(name, RUNTIMES[name])
  console.log(`── ${name}: ${result}`)
  return { name, result }
})
for (const { name, result } of rows) console.log(`${name.padEnd(8)} ${result}`)
process.exitCode = rows.some(({ result }) => result.endsWith('failed')) ? 1 : 0

/** Tests one runtime. @returns {string} its version with `passed` or `failed`, or why it was skipped */
function tested(name, { executable, args = [] }) {
  const runtime = installed(name, executable)
  if (runtime === undefined) return 'skipped: its package can’t be had'
  const version = spawnSync(runtime, ['--version'], { encoding: 'utf8' }).stdout.split('\n')[0]
  const isNode = name.startsWith('node@')
  const { status } =
    isNode && !isShort
      ? // The tests start `node` by its name too.
        ava(runtime, [], { PATH: join(runtime, '..') + delimiter + process.env.PATH })
      : ava(process.execPath, ['--config', 'runtimes.config.js'], {
          DAEMONIC_TEST_RUNTIME: JSON.stringify([runtime, ...args]),
        })
  return `${version} ${status === 0 ? 'passed' : 'failed'}`
}

function ava(node, args, env) {
  return spawnSync(node, [AVA, ...args], {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, ...env },
  })
}

/** Installs the runtime's package, once. @returns {string | undefined} the executable; undefined if it can't be had */
function installed(name, executable) {
  const directory = join(root, 'target/runtimes', name.replace('@', '-'))
  const file = join(directory, 'node_modules', executable)
  if (existsSync(file)) return file
  mkdirSync(directory, { recursive: true })
  writeFileSync(join(directory, 'package.json'), '{ "private": true }\n')
  const { status } = spawnSync('npm', ['install', '--no-audit', '--no-fund', '--loglevel=error', name], {
    cwd: directory,
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  return status === 0 && existsSync(file) ? file : undefined
}
