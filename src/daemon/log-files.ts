// The files that the daemon appends to, and opening them again where they were moved away.
import type { AppendedFile } from '#native'
import { checked, native } from '../binding/addon.js'

/** A log that was opened for one of the standard outputs. */
export interface Log {
  fd: number
  path: string
  mode: number
}

/** The open logs of this process. */
export class Logs {
  readonly #own: readonly Log[]
  /** Other files, by descriptor. Once a file is moved the kernel no longer knows its old path, so it is noted before. */
  readonly #others = new Map<number, AppendedFile>()

  constructor(own: readonly Log[]) {
    this.#own = own
  }

  /** Notes which other files this process appends to by now. */
  remember(): void {
    const own = new Set(this.#own.map(log => log.fd))
    const present = native.appendedFiles().filter(file => !own.has(file.fd))
    const known = present.map(file => {
      const before = this.#others.get(file.fd)
      return before?.inode === file.inode ? before : file
    })
    this.#others.clear()
    for (const file of known) this.#others.set(file.fd, file)
  }

  /**
   * Reopens the logs whose path by now names another file or none, with `all` the other files too; returns how many.
   * @throws SystemCallError the first that can't be opened; all were tried, and its old file goes on being used
   */
  reopen(all: boolean): number {
    if (all) this.remember()
    let reopened = 0
    let failure: unknown
    for (const { fd, path, mode } of all ? [...this.#own, ...this.#others.values()] : this.#own) {
      try {
        if (checked(native.reopenLog(fd, path, mode))) reopened += 1
      } catch (error) {
        failure ??= error
      }
    }
    if (failure) throw failure
    return reopened
  }
}
