// Pid files that the kernel locks: they end with their process, however that ends.
import { resolve } from 'node:path'
import type { PidFile } from '#native'
import { checked, done, native } from './binding/addon.js'
import { AlreadyRunningError } from './errors/classes.js'
import { duration, mode, or } from './options/values.js'

const MODE = 0o644

/** What a pid file says, and how far that can be trusted. */
export interface PidFileState {
  /** absent: no file. free: a file nobody locks (stale if it names a pid). starting, running: locked. */
  readonly state: 'absent' | 'free' | 'starting' | 'running'
  readonly pid: number | null
  /** True where the kernel named the owner; false where only the file's text does. */
  readonly verified: boolean
}

export interface LockOptions {
  /** Of the file, set whatever the umask. @default 0o644 */
  mode?: number | undefined
}

export interface WaitOptions extends LockOptions {
  /** Milliseconds. @default forever */
  timeout?: number | undefined
  signal?: AbortSignal | undefined
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
    if (held.size === 0) process.on('exit', releaseAll)
    held.add(this)
  }

  /**
   * Locks the file at `path` and writes our pid, atomically for readers. It is created with `mode` whatever the umask.
   * @throws AlreadyRunningError another process, or this one, has it
   * @throws SystemCallError the file can't be made, or isn't one to be trusted: a link, a fifo, somebody else's
   */
  static acquire(path: string, options: LockOptions = {}): PidLock {
    return PidLock.#started(checked(native.acquirePidFile(resolve(path), modeOf(options), false)))
  }

  /**
   * The same, once the file is free: a thread waits in fcntl(2), and wakes when its owner ends or releases it. An owner
   * that ended has closed its sockets by then. Keeps the event loop alive meanwhile.
   * @throws AlreadyRunningError it was not free within `timeout` milliseconds
   * @throws the signal's reason, if it aborts; the lock is not taken afterwards then
   */
  static async wait(path: string, options: WaitOptions = {}): Promise<PidLock> {
    const { signal } = options
    const timeout = options.timeout === undefined ? undefined : duration('timeout', options.timeout)
    signal?.throwIfAborted()
    const file = resolve(path)
    const waiting = new native.PidFileWait()
    const cancel = () => waiting.cancel()
    const promise = waiting.start(file, modeOf(options))
    const timer = timeout === undefined ? undefined : setTimeout(cancel, timeout)
    signal?.addEventListener('abort', cancel)
    try {
      const answer = await promise
      // Won and aborted at once: the caller no longer wants it.
      if (signal?.aborted) {
        if (answer instanceof native.PidFile) answer.release([], false)
        throw signal.reason
      }
      if (answer === null) throw new AlreadyRunningError(file, PidLock.inspect(file).pid)
      return PidLock.#started(checked(answer))
    } finally {
      clearTimeout(timer)
      signal?.removeEventListener('abort', cancel)
    }
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

  static #started(file: PidFile): PidLock {
    const lock = new PidLock(file)
    lock.started()
    return lock
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
    held.delete(this)
    if (held.size === 0) process.off('exit', releaseAll)
    done(this.#file.release([...this.#companions], false))
  }

  [Symbol.dispose](): void {
    this.release()
  }

  /** @internal The lock itself goes with the process: who waits for the file waits for our sockets too. */
  releaseAtExit(): void {
    const isProcess = process.getBuiltinModule('node:worker_threads').isMainThread
    this.#file.release([...this.#companions], isProcess)
  }

  /** @internal The start is over. */
  started(): void {
    done(this.#file.started())
  }

  /** @internal Whoever wants a daemon waits for the next one from now on. */
  ending(): void {
    this.#file.ending()
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

const held = new Set<PidLock>()

function releaseAll(): void {
  for (const lock of held) lock.releaseAtExit()
}

function modeOf(options: LockOptions): number {
  return mode('mode', or(options.mode, MODE), 0o7777)
}
