// Pid files that the kernel locks: they end with their process, however that ends.
import { resolve } from 'node:path'
import type { PidFile } from '#native'
import { checked, done, native } from './native.js'

const MODE = 0o644

/** What a pid file says, and how far that can be trusted. */
export interface PidFileState {
  /** absent: no file. free: a file nobody locks (stale if it names a pid). starting, running: locked. */
  readonly state: 'absent' | 'free' | 'starting' | 'running'
  readonly pid: number | null
  /** True where the kernel named the owner; false where only the file's text does. */
  readonly verified: boolean
}

/** An exclusive, kernel-held lock on a pid file (fcntl(2)): gone when its process is. */
export class PidLock implements Disposable {
  readonly #file: PidFile
  readonly #companions: readonly string[]
  readonly path: string
  readonly pid: number

  private constructor(file: PidFile, companions: readonly string[] = []) {
    this.#file = file
    this.#companions = companions
    this.path = file.path
    this.pid = process.pid
    process.once('exit', () => this.release())
  }

  /**
   * Locks the file at `path` and writes our pid, atomically for readers. It is created with `mode` whatever the umask.
   * @throws AlreadyRunningError another process, or this one, has it
   * @throws SystemCallError the file can't be made, or isn't one to be trusted: a link, a fifo, somebody else's
   */
  static acquire(path: string, options: { mode?: number | undefined } = {}): PidLock {
    const lock = PidLock.of(checked(native.acquirePidFile(resolve(path), options.mode ?? MODE)))
    lock.started()
    return lock
  }

  /** Who holds the file at `path`. Never creates, changes or removes anything; needs read permission only. */
  static inspect(path: string): PidFileState {
    const { state, pid = null, verified } = checked(native.inspectPidFile(resolve(path)))
    return { state, pid, verified }
  }

  /** @internal A file that this process owns already; `companions` are removed with it. */
  static of(file: PidFile, companions: readonly string[] = []): PidLock {
    return new PidLock(file, companions)
  }

  get held(): boolean {
    return this.#file.held
  }

  /** False once someone removed or replaced the file under us. */
  isIntact(): boolean {
    return this.#file.isIntact()
  }

  /** Removes the file (empties it where removing is forbidden) and unlocks it; a second call does nothing. */
  release(): void {
    done(this.#file.release([...this.#companions]))
  }

  [Symbol.dispose](): void {
    this.release()
  }

  /** @internal The start is over. */
  started(): void {
    done(this.#file.started())
  }

  /** @internal Names us to the kernel again, should other code of ours have closed the file. */
  assertOwnership(): void {
    done(this.#file.assertOwnership())
  }

  /** @internal */
  get native(): PidFile {
    return this.#file
  }
}
