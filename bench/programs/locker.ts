// Acquires and releases a pid file, as often as its parent says, in one of several ways; answers how many milliseconds
// that took. Arguments: which way, the pid file, where the peer is installed.
import * as fs from 'node:fs'
import { dirname } from 'node:path'
import { PidLock } from 'daemonic'
import { now } from '../support/clock.js'
import { loadPeer } from '../support/peers.js'

interface ProperLockfile {
  lockSync(path: string, options: { realpath: boolean }): void
  unlockSync(path: string, options: { realpath: boolean }): void
}
interface FsExt {
  flockSync(fd: number, how: 'exnb' | 'un'): void
}
interface Npid {
  create(path: string): { remove(): boolean }
}
interface Pidlock {
  guard(dir: string, key: string, then: (error: unknown, data: unknown, cleanup: () => void) => void): void
}

const [way = '', path = '', peer = ''] = process.argv.slice(2)
const { O_CREAT, O_RDWR, O_NOFOLLOW, O_NONBLOCK, O_NOCTTY } = fs.constants
const TEXT = `${process.pid}\n`

/** Made when it is wanted: only one peer is loaded into a process. */
const WAYS: Record<string, () => () => void> = {
  daemonic: () => () => PidLock.acquire(path).release(),
  'proper-lockfile': () => {
    const { lockSync, unlockSync } = loadPeer(peer, 'proper-lockfile') as ProperLockfile
    const options = { realpath: false } // with it, the file would have to be there, and it would take longer
    return () => {
      lockSync(path, options)
      unlockSync(path, options)
    }
  },
  'fs-ext': () => {
    const { flockSync } = loadPeer(peer, 'fs-ext') as FsExt
    return () => {
      const fd = fs.openSync(path, O_RDWR | O_CREAT, 0o644)
      flockSync(fd, 'exnb')
      fs.writeSync(fd, TEXT, 0)
      fs.unlinkSync(path)
      flockSync(fd, 'un')
      fs.closeSync(fd)
    }
  },
  'fs-ext, checked': () => {
    const { flockSync } = loadPeer(peer, 'fs-ext') as FsExt
    const check = (file: fs.Stats) => {
      const named = fs.lstatSync(path)
      if (named.ino !== file.ino || named.dev !== file.dev) throw new Error('it was replaced')
    }
    return () => {
      const fd = fs.openSync(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0o600)
      const file = fs.fstatSync(fd)
      if (!file.isFile() || file.nlink !== 1) throw new Error('no pid file')
      flockSync(fd, 'exnb')
      check(file)
      fs.fchmodSync(fd, 0o644)
      fs.writeSync(fd, TEXT, 0)
      fs.ftruncateSync(fd, TEXT.length)
      check(file)
      fs.unlinkSync(path)
      fs.closeSync(fd)
    }
  },
  npid: () => {
    const { create } = loadPeer(peer, 'npid') as Npid
    return () => {
      if (!create(path).remove()) throw new Error('not removed')
    }
  },
  pidlock: () => {
    const { guard } = loadPeer(peer, 'pidlock') as Pidlock
    process.setMaxListeners(0)
    return () =>
      guard(dirname(path), 'pidlock', (error, _, cleanup) => {
        if (error) throw new Error(JSON.stringify(error))
        cleanup()
      })
  },
}

const once = WAYS[way]?.()
if (!once) throw new Error(`no such way: ${way}`)
const listeners = process.listeners('exit')

function run(count: number): number {
  const start = now()
  for (let each = 0; each < count; each++) once?.()
  const elapsed = now() - start
  // pidlock leaves one for each lock.
  for (const listener of process.listeners('exit')) if (!listeners.includes(listener)) process.off('exit', listener)
  return elapsed
}

if (process.send) {
  process.on('message', count => process.send?.(run(Number(count))))
} else {
  // Under strace: warmed up, so that nothing of Node's lies between the marks.
  run(10)
  fs.writeSync(2, 'begin\n')
  once()
  fs.writeSync(2, 'end\n')
}
