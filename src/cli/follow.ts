// Following log files: across rotation (another file takes the name) and truncation, and before a file exists.
import { closeSync, type FSWatcher, fstatSync, readSync, statSync, watch } from 'node:fs'
import { dirname } from 'node:path'
import { StringDecoder } from 'node:string_decoder'
import { setTimeout as delay } from 'node:timers/promises'
import { LONGEST_LINE, opened } from './log-lines.js'

/** A log file to follow. */
export interface Followed {
  path: string
  /** The descriptor; null if the file doesn't exist yet. */
  fd: number | null
  /** Where to go on reading: what lies before has been printed. */
  end: number
  print(line: string): void
}

/** How often the files are looked at, in milliseconds. Events of watch() don't arrive everywhere (NFS, containers). */
const LOOK_EVERY = 500
const CHUNK = 64 * 1024

/** Prints the lines that the files get from now on, and `note`s truncations. Never resolves. */
export async function follow(files: readonly Followed[], note: (message: string) => void): Promise<never> {
  const followers = files.map(file => new Follower(file, note))
  for (;;) {
    for (const follower of followers) follower.look()
    await change(files.map(({ path }) => path))
  }
}

class Follower {
  readonly #file: Followed
  readonly #note: (message: string) => void
  readonly #decoder = new StringDecoder('utf8')
  #fd: number | null
  #position: number
  #unfinished = ''

  constructor(file: Followed, note: (message: string) => void) {
    this.#file = file
    this.#note = note
    this.#fd = file.fd
    this.#position = file.end
  }

  look(): void {
    this.#read()
    if (!this.#isReplaced()) return
    this.#read() // lines from between the last look and the rotation
    if (this.#unfinished !== '') this.#print('\n') // its end can no longer arrive
    if (this.#fd !== null) closeSync(this.#fd)
    this.#fd = opened(this.#file.path)
    this.#position = 0
    this.#read()
  }

  /** Tells whether another file has the name. While no file has it, the old one may still be written to. */
  #isReplaced(): boolean {
    const now = statSync(this.#file.path, { throwIfNoEntry: false })
    if (!now) return false
    if (this.#fd === null) return true
    const { ino, dev } = fstatSync(this.#fd)
    return now.ino !== ino || now.dev !== dev
  }

  #read(): void {
    if (this.#fd === null) return
    if (fstatSync(this.#fd).size < this.#position) {
      this.#note(`${this.#file.path}: truncated`)
      this.#position = 0
    }
    const chunk = Buffer.alloc(CHUNK)
    for (;;) {
      const length = readSync(this.#fd, chunk, 0, CHUNK, this.#position)
      if (length === 0) return
      this.#position += length
      this.#print(this.#decoder.write(chunk.subarray(0, length)))
    }
  }

  /** Prints the whole lines of `text`, and keeps the unfinished rest, unless that is longer than any line. */
  #print(text: string): void {
    const lines = (this.#unfinished + text).split('\n')
    this.#unfinished = lines.pop() ?? ''
    for (const line of lines) this.#file.print(line)
    if (this.#unfinished.length < LONGEST_LINE) return
    this.#file.print(this.#unfinished)
    this.#unfinished = ''
  }
}

/** Waits until something changes in one of the files' directories, at most {@link LOOK_EVERY}. */
async function change(paths: readonly string[]): Promise<void> {
  const watchers: FSWatcher[] = []
  const changed = new AbortController()
  for (const directory of new Set(paths.map(dirname))) {
    try {
      watchers.push(watch(directory, () => changed.abort()).on('error', () => {}))
    } catch {
      // the directory doesn't exist yet, or there are too many watchers
    }
  }
  await delay(LOOK_EVERY, undefined, { signal: changed.signal }).catch(() => {})
  for (const watcher of watchers) watcher.close()
}
