// Following files: across rotation, where another file takes the name, and truncation; also before they exist.
import { closeSync, type FSWatcher, fstatSync, readSync, statSync, watch } from 'node:fs'
import { dirname } from 'node:path'
import { StringDecoder } from 'node:string_decoder'
import { setTimeout as delay } from 'node:timers/promises'
import { opened } from './log-lines.js'

export interface Followed {
  path: string
  /** Null if it wasn't there. */
  fd: number | null
  /** How much of it has been shown. */
  end: number
  print(line: string): void
}

/** Watching is not reliable everywhere (NFS, containers): it is looked at anyway; milliseconds. */
const LOOK_EVERY = 500
const CHUNK = 64 * 1024

/** Never ends by itself. */
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
    this.#read() // what came between the last look and the rotation
    if (this.#unfinished !== '') this.#print('\n') // nothing will finish it
    if (this.#fd !== null) closeSync(this.#fd)
    this.#fd = opened(this.#file.path)
    this.#position = 0
    this.#read()
  }

  /** Another file has the name. One that has none now may still be written to. */
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

  /** Whole lines. */
  #print(text: string): void {
    const lines = (this.#unfinished + text).split('\n')
    this.#unfinished = lines.pop() ?? ''
    for (const line of lines) this.#file.print(line)
  }
}

/** Waits until something happens in one of the directories, or for a while. */
async function change(paths: readonly string[]): Promise<void> {
  const watchers: FSWatcher[] = []
  const done = new AbortController()
  for (const directory of new Set(paths.map(dirname))) {
    try {
      watchers.push(watch(directory, () => done.abort()).on('error', () => {}))
    } catch {
      // it isn't there yet, or there are too many watchers
    }
  }
  await delay(LOOK_EVERY, undefined, { signal: done.signal }).catch(() => {})
  for (const watcher of watchers) watcher.close()
}
