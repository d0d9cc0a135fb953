// Pid files with a lock of the kernel's, which is released however its process ends.
import { resolve } from 'node:path'
import type { PidFile } from '#native'
import { checked, native } from './binding/addon.js'
import { AlreadyRunningError } from './errors/classes.js'
import type { Duration } from './option-types.js'
import { duration, mode, or } from './options/values.js'
import { pidFilePathOf, prepareDirectory } from './running/paths.js'

const DEFAULT_MODE = 0o644

/** What a pid file says, and how far that can be trusted. */
export interface PidFileState {
  /** 'absent': no file. 'free': a file without a lock, stale if it names a pid. 'starting', 'running': a locked file. */
  readonly state: 'absent' | 'free' | 'starting' | 'running'
  /** The owner, or the pid in the text of a file without a lock; null if neither is known. */
  readonly pid: number | null
  /** True where the kernel named the owner; false where only the file's text does. */
  readonly verified: boolean
}

/** Options of PidLock.acquire(). */
export interface LockOptions {
  /** The file's mode, set whatever the umask. @default 0o644 */
  mode?: number | undefined
}

/** Options of PidLock.wait(). */
export interface WaitOptions extends LockOptions {
  /** How long to wait, in milliseconds. @default forever */
  timeout?: Duration | undefined
  /** Ends the wait when it aborts. @default none */
  signal?: AbortSignal | undefined
}

/**
 * An exclusive lock on a pid file, held by the kernel (fcntl(2)) until it is released or its process has ended. A path
 * without a slash is a file in the run directory.
 */
export class PidLock implements Disposable {
  readonly #file: PidFile
  readonly #companions: readonly string[]
  /** The pid file, absolute. */
  readonly path: string
  /** The pid of this process, which holds the lock. */
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
   * Locks the file at `path` and writes this process's pid into it. A reader finds the whole pid or none.
   * @throws AlreadyRunningError another process, or this one, has the lock; `.pid` is the owner
   * @throws SystemCallError the file can't be created, or isn't to be trusted: a link, a fifo, another user's
   * @throws DaemonError ERR_DAEMON_BLOCKED: another process holds a read lock on the file
   * @throws OptionError `mode` is wrong
   */
  static acquire(path: string, options: LockOptions = {}): PidLock {
    return PidLock.#started(checked(native.acquirePidFile(prepared(path), modeOf(options), false)))
  }

  /**
   * Waits until the file is free, and locks it. A thread waits in fcntl(2), and wakes when the owner releases the lock or
   * has exited; by then the sockets of an owner that exited are closed. The event loop stays alive meanwhile.
   * @throws AlreadyRunningError the file was not free within `timeout` milliseconds
   * @throws SystemCallError the file can't be created, or isn't to be trusted
   * @throws OptionError `timeout` or `mode` is wrong
   * @throws the reason of `signal`, if that aborts: the lock is not taken later then
   */
  static async wait(path: string, options: WaitOptions = {}): Promise<PidLock> {
    const { signal } = options
    const timeout = options.timeout === undefined ? undefined : duration('timeout', options.timeout)
    signal?.throwIfAborted()
    const file = prepared(path)
    const waiting = new native.PidFileWait()
    const cancel = () => waiting.cancel()
    const promise = waiting.start(file, modeOf(options))
    const timer = timeout === undefined ? undefined : setTimeout(cancel, timeout)
    signal?.addEventListener('abort', cancel)
    try {
      const answer = await promise
      // The lock was granted just before the abort: the caller no longer wants it.
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

  /**
   * Asks the kernel who holds the file at `path`. Creates, changes and removes nothing, and needs read permission only.
   * @throws SystemCallError the file can't be read, or isn't one to be trusted
   */
  static inspect(path: string): PidFileState {
    const { state, pid = null, verified } = checked(native.inspectPidFile(resolve(pidFilePathOf(path))))
    return { state, pid, verified }
  }

  /** @internal Wraps a file that this process owns already; `companions` are removed with it. */
  static of(file: PidFile, companions: readonly string[] = []): PidLock {
    return new PidLock(file, companions)
  }

  static #started(file: PidFile): PidLock {
    const lock = new PidLock(file)
    lock.started()
    return lock
  }

  /** Whether the lock has not been released yet. */
  get held(): boolean {
    return this.#file.held
  }

  /** Tells whether the file is still at its path: false once somebody removed or replaced it. */
  isIntact(): boolean {
    return this.#file.isIntact()
  }

  /**
   * Removes the file (empties it where removing is forbidden) and unlocks it. A second call does nothing.
   * @throws SystemCallError the file could be neither removed nor emptied
   */
  release(): void {
    held.delete(this)
    if (held.size === 0) process.off('exit', releaseAll)
    checked(this.#file.release([...this.#companions], false))
  }

  /** Releases the lock: `using lock = PidLock.acquire(…)`. */
  [Symbol.dispose](): void {
    this.release()
  }

  /**
   * @internal Removes the file, and keeps the lock until the process has exited, so that the next owner finds this one's
   * sockets closed. A worker thread that exits releases the lock.
   */
  releaseAtExit(): void {
    const isWholeProcess = process.getBuiltinModule('node:worker_threads').isMainThread
    this.#file.release([...this.#companions], isWholeProcess)
  }

  /** @internal Marks the start as over: waiters for a ready daemon go on. */
  started(): void {
    checked(this.#file.started())
  }

  /** @internal Marks the daemon as stopping: from now on launch() waits for its end, and starts the next one. */
  ending(): void {
    this.#file.ending()
  }

  /** @internal Takes byte 0 again: the kernel drops it when other code of this process opens and closes the file. */
  assertOwnership(): void {
    this.#file.assertOwnership()
  }

  /** @internal Returns the binding's side of the lock. */
  get native(): PidFile {
    return this.#file
  }
}

/** The locks of this process that were not released yet. */
const held = new Set<PidLock>()

function releaseAll(): void {
  for (const lock of held) lock.releaseAtExit()
}

/** Gives the absolute path of a file that is to be locked, in a directory that is there. */
function prepared(path: string): string {
  const file = resolve(pidFilePathOf(path))
  prepareDirectory(file)
  return file
}

function modeOf(options: LockOptions): number {
  return mode('mode', or(options.mode, DEFAULT_MODE), 0o7777)
}
