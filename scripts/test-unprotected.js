// Runs the tests with the kernel's guards against planted links, fifos and files off (fs.protected_*, sysctl(8)): what they
// stop must be stopped without them, too. They are the whole host's: run it alone on the machine. `--attacks` runs the
// attacks alone, as the checkout was built last; other arguments go to ava.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { constants } from 'node:os'
import { root } from './setup.js'

const GUARDS = ['hardlinks', 'symlinks', 'fifos', 'regular'].map(name => `/proc/sys/fs/protected_${name}`)
const ATTACKS = ['planted-files', 'planted-links', 'dropped', 'worker-identity', 'pid-lock-hostile', 'pid-lock-readers']

const before = GUARDS.map(path => [path, readFileSync(path, 'utf8')])
const restore = () => {
  for (const [path, value] of before) writeFileSync(path, value)
}
process.on('exit', restore)

const isShort = process.argv.includes('--attacks')
const given = process.argv.slice(2).filter(argument => argument !== '--attacks')
const tests = isShort
  ? ['node_modules/ava/entrypoints/cli.mjs', ...ATTACKS.map(name => `dist/__test__/${name}.test.js`)]
  : ['scripts/test.js']
let child
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    child?.kill(signal)
    process.exit(128 + constants.signals[signal])
  })
}
try {
  for (const path of GUARDS) writeFileSync(path, '0')
} catch (error) {
  console.error(`test:unprotected: ${error.message}: it needs root, outside of a container`)
  process.exit(1)
}
child = spawn(process.execPath, [...tests, ...given], { cwd: root, stdio: 'inherit' })
const [code] = await once(child, 'exit')
process.exitCode = code ?? 1
