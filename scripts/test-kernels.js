// `npm run test:kernels [-- [--short] [WITHOUT…]]`: the tests of starting, locking, stopping, workers and reload, each time on
// a kernel that lacks one system call, and under a Node for musl. Arguments are the calls to deny, or `musl`; without any, it is
// all of them one after the other. Denying takes root, or a kernel that lets anyone filter system calls, and python3.
// `__test__/kernels.test.ts` is the short form, part of `npm test`; `--short` runs that alone.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { muslNode } from './musl-node.js'
import { root, setup } from './setup.js'

const FILES = ['daemon', 'start-failures', 'pid-lock', 'pid-lock-wait', 'control', 'launch']
const SUPERVISED = ['supervisor-starts', 'supervisor-workers', 'supervisor-reload', 'supervisor-restarts']

setup()
const { CALLS, without } = await import('../dist/__test__/support/deny.js')
const arguments_ = process.argv.slice(2)
const given = arguments_.filter(argument => argument !== '--short')
const files = arguments_.includes('--short') ? ['kernels'] : [...FILES, ...SUPERVISED]
const AVA = 'node_modules/ava/entrypoints/cli.mjs'
const tests = files.map(name => `dist/__test__/${name}.test.js`)
const failed = []
for (const what of given.length > 0 ? given : [...CALLS, 'musl']) {
  const { node, checkout, skipped } = what === 'musl' ? muslNode() : { node: process.execPath, checkout: root }
  console.log(what === 'musl' ? '── with musl' : `── without ${what}`)
  if (skipped) {
    console.log(`skipped: ${skipped}`)
    continue
  }
  const [command, args] = what === 'musl' ? [node, [AVA, ...tests]] : without(what, node, AVA, ...tests)
  const child = spawn(command, args, { cwd: checkout, stdio: ['ignore', 'inherit', 'inherit'] })
  const [code] = await once(child, 'exit')
  if (code !== 0) failed.push(what)
}
console.log(failed.length === 0 ? 'passed each' : `failed: ${failed.join(', ')}`)
process.exitCode = failed.length === 0 ? 0 : 1
