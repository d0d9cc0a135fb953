// `npm run try-built`: what can be said of a build where there is no /proc, at which the tests of the library look.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PidLock } from 'daemonic'

const directory = mkdtempSync(join(tmpdir(), 'daemonic-'))
const path = join(directory, 'lock.pid')
try {
  const lock = PidLock.acquire(path)
  assert.equal(PidLock.inspect(path).pid, process.pid, 'a lock is seen')
  const next = PidLock.wait(path)
  setTimeout(() => lock.release(), 100)
  ;(await next).release()
  assert.equal(PidLock.inspect(path).state, 'absent', 'a released lock is gone')
} finally {
  rmSync(directory, { recursive: true, force: true })
}
console.log(`${process.platform}-${process.arch}: a lock is taken, seen, waited for and released`)
