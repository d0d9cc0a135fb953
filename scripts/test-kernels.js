// `npm run test:kernels`: the tests of starting, locking, stopping, workers and reload, each time on a kernel that lacks one
// system call. Arguments are the calls to deny; without any, all are denied one after the other. It takes root, or a kernel
// that lets anyone filter system calls, and python3. `__test__/kernels.test.ts` is the short form, and part of `npm test`.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { root, setup } from './setup.js'

const FILES = ['daemon', 'start-failures', 'pid-lock', 'pid-lock-wait', 'control', 'launch']
const SUPERVISED = ['supervisor-starts', 'supervisor-workers', 'supervisor-reload', 'supervisor-restarts']

setup()
const { CALLS, without } = await import('../dist/__test__/support/deny.js')
const given = process.argv.slice(2)
const failed = []
for (const call of given.length > 0 ? given : CALLS) {
  console.log(`── without ${call}`)
  const tests = [...FILES, ...SUPERVISED].map(name => `dist/__test__/${name}.test.js`)
  const child = spawn(...without(call, process.execPath, 'node_modules/ava/entrypoints/cli.mjs', ...tests), {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  const [code] = await once(child, 'exit')
  if (code !== 0) failed.push(call)
}
console.log(failed.length === 0 ? 'passed without each' : `failed without ${failed.join(', ')}`)
process.exitCode = failed.length === 0 ? 0 : 1
