// The status text in the state file, where status() finds it whole.
import { recordInState } from '../running/state-file.js'

/** Milliseconds between two writes: a program may set a status for each of its requests. */
const APART = 100

/** What the state file says of the daemon's status. A user who may not write that file has the process title alone. */
export class StatusRecord {
  readonly #pidFile: string
  #text: string | null = null
  #next: NodeJS.Timeout | undefined

  constructor(pidFile: string) {
    this.#pidFile = pidFile
  }

  /** Writes the text, or the last of those that come until the next write. */
  set(text: string): void {
    this.#text = text
    if (this.#next) return
    this.#write()
    this.#next = setTimeout(() => {
      this.#next = undefined
      if (this.#text !== null) this.set(this.#text)
    }, APART).unref()
  }

  #write(): void {
    if (this.#text !== null) recordInState(this.#pidFile, { statusText: this.#text })
    this.#text = null
  }
}
