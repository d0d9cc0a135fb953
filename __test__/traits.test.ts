// A daemon's traits, seen from inside it and by the kernel.
import { readdirSync, readFileSync } from 'node:fs'
import test from 'ava'
import { probe } from './support/probe.js'
import { Scene } from './support/scene.js'

test('a daemon leads its own process group in the session of a process that is gone, without a terminal', async t => {
  const scene = new Scene(t)
  const daemon = await probe(scene)
  t.is(daemon.pgid, daemon.pid)
  t.not(daemon.sid, daemon.pid)
  t.false(readdirSync('/proc').includes(String(daemon.sid)))
  t.is(daemon.tty, null)
  t.true(daemon.detached)
})

test('it works in / and creates files that only their owner can write', async t => {
  const scene = new Scene(t)
  const daemon = await probe(scene)
  t.is(daemon.cwd, '/')
  t.is(daemon.kernelCwd, '/')
  t.is(daemon.umask, 0o022)
  t.is(daemon.startDirectory, scene.directory)
})

test('it has /dev/null for its standard streams, and no descriptor of the launcher', async t => {
  const scene = new Scene(t)
  const { descriptors, pid } = await probe(scene)
  for (const fd of [0, 1, 2]) t.is(descriptors[fd], '/dev/null')
  const foreign = Object.values(descriptors).filter(
    target => !/^(\/dev\/null|anon_inode:.*|pipe:.*|\/proc\/.*)$/.test(target),
  )
  t.deepEqual(foreign, [], `descriptors of ${pid}`)
})

test('it blocks no signal, ignores the terminal’s, and dumps no core', async t => {
  const scene = new Scene(t)
  const { status, limits } = await probe(scene)
  t.is(BigInt(`0x${status.SigBlk}`), 0n)
  const ignored = BigInt(`0x${status.SigIgn}`)
  for (const signal of [20, 21, 22]) t.true((ignored & (1n << BigInt(signal - 1))) !== 0n, `signal ${signal}`)
  t.regex(limits, /^Max core file size\s+0\s+0\s/m)
})

test('the launcher’s parent is not its parent', async t => {
  const scene = new Scene(t)
  const { pid } = await probe(scene)
  const ppid = Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])
  t.not(ppid, process.pid)
})
