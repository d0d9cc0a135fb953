// The short form of `npm run test:kernels`: a daemon's life on kernels that lack a system call.
import { readFileSync } from 'node:fs'
import { PidLock } from 'daemonic'
import type { Programs } from './fixtures/migration.js'
import { CLI, cliEnvironment } from './support/cli.js'
import { CALLS, type Call, without } from './support/deny.js'
import { withPython } from './support/locks.js'
import { fixture, type Program, programs, type Result, Scene } from './support/scene.js'

const daemons = programs<Programs>('migration')

for (const call of CALLS) {
  withPython(`without ${call}: a start, its failure, the lock, and a stop that waits for the exit`, async t => {
    const scene = new Scene(t)
    const run = (program: Program): Promise<Result> => scene.run(...without(call, process.execPath, ...program))
    const failed = await run(daemons('fails'))
    t.is(failed.code, 1)
    t.regex(failed.stderr, /before it was ready[\s\S]*broken/)
    t.false(scene.exists('d.pid'))

    t.like(await run(daemons('exitsSlowly')), { code: 0, stderr: '' })
    const pid = Number(scene.read('d.pid'))
    t.deepEqual(PidLock.inspect(scene.path('d.pid')), { state: 'running', pid, verified: true })
    const second = await run(daemons('stays'))
    t.is(second.code, 1)
    t.regex(second.stderr, new RegExp(`already running as pid ${pid}`))

    const stopped = run(daemons('stops'))
    await scene.until('it has stopped', () => scene.exists('stopped'))
    t.false(isAlive(pid))
    t.is((await stopped).code, 0)
  })

  withPython(`without ${call}: workers, a reload and a restart`, async t => {
    const scene = new Scene(t)
    const path = fixture('scripts/becomes-a-daemon')
    const run = (...args: string[]) =>
      scene.run(...without(call, process.execPath, CLI, ...args), { env: cliEnvironment(scene) })
    const started = await run('start', '--name', 'w', '--workers', '2', path)
    t.like(started, { code: 0 }, started.stderr)
    const before = Number(scene.read('run/w.pid'))
    t.like(await run('reload', 'w'), { code: 0 })
    t.is(Number(scene.read('run/w.pid')), before)
    t.like(await run('restart', 'w'), { code: 0 })
    t.false(isAlive(before))
    t.like(await run('stop', 'w'), { code: 0 })
    t.false(scene.exists('run/w.pid'))
  })
}

withPython('without locks of open files a start is refused, and says what to do', async t => {
  const scene = new Scene(t)
  const call: Call = 'ofd-locks'
  const { code, stderr } = await scene.run(...without(call, process.execPath, ...daemons('stays')))
  t.is(code, 1)
  t.regex(stderr, /cannot lock the pid file .*d\.pid: EINVAL, .*no locks of open files .*start without a pid file/)
})

/** A process that has exited is not alive, though it may wait to be reaped. */
function isAlive(pid: number): boolean {
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'))
  } catch {
    return false
  }
}
