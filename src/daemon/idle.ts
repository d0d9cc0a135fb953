// Idleness: how long the daemon has had no clients and no work. The `idleTimeout` option.
import type { Http2Stream } from 'node:http2'
import { isHttp, isHttp2 } from './connections.js'
import { isStream, type Served } from './serve.js'

/**
 * How often the daemon is looked at within the timeout. Work between two looks counts until the later one, so that it ends
 * by so much of the timeout late, and never early.
 */
const LOOKS = 10
/** Milliseconds between two looks at least, and at most: a timer of Node's takes no more. */
const SHORTEST = 1
const LONGEST = 2 ** 31 - 1

/** Looks whether anything keeps the daemon from being idle: connections, requests, busy(). */
export class Idleness {
  readonly #onChange: (isIdle: boolean) => void
  readonly #served: Served[] = []
  #timeout: number | null = null
  #holds = 0
  #timer: NodeJS.Timeout | undefined
  #isIdle = false
  #mark = ''
  #events = 0
  #activeAt = 0
  #unsubscribe = () => {}

  /** Calls `onChange` with true once the daemon has been idle for the whole timeout, with false when it no longer is. */
  constructor(onChange: (isIdle: boolean) => void) {
    this.#onChange = onChange
  }

  /** Begins to look; with null the daemon never counts as idle. */
  start(timeout: number | null): void {
    const isFirst = this.#timeout === null
    this.#timeout = timeout
    clearTimeout(this.#timer)
    if (timeout === null) return
    if (isFirst) for (const each of this.#served) this.#follow(each)
    this.#activeAt = performance.now()
    this.#mark = this.#markNow()
    this.#lookLater(timeout)
  }

  /** Stops looking. */
  stop(): void {
    clearTimeout(this.#timer)
    this.#unsubscribe()
    this.#timeout = null
  }

  /** Keeps the daemon from being idle until the hold is disposed; disposing it again does nothing. */
  hold(): Disposable {
    let isHeld = true
    this.#holds += 1
    this.#note()
    return {
      [Symbol.dispose]: () => {
        if (!isHeld) return
        isHeld = false
        this.#holds -= 1
        this.#note()
      },
    }
  }

  /**
   * Counts what a server's clients do. A connection counts while it is open; but with HTTP a request counts until it is
   * answered, and an upgraded connection while it is open, not one that is merely kept alive. With UDP every message
   * begins the time anew.
   */
  watch(served: Served): void {
    this.#served.push(served)
    if (this.#timeout !== null) this.#follow(served)
  }

  /** Listens to what can't be found by looking: datagrams, and the streams of HTTP/2. */
  #follow({ server }: Served): void {
    if (!isStream(server)) server.on('message', () => this.#note())
    else if (isHttp2(server)) {
      server.prependListener('stream', (stream: Http2Stream) => {
        const hold = this.hold()
        stream.once('close', () => hold[Symbol.dispose]())
      })
    }
  }

  #look(timeout: number): void {
    const now = performance.now()
    const mark = this.#markNow()
    if (this.#isBusy() || mark !== this.#mark) this.#activeAt = now
    this.#mark = mark
    const idleFor = now - this.#activeAt
    if (idleFor < timeout) {
      this.#lookLater(timeout, timeout - idleFor)
      return
    }
    this.#isIdle = true
    this.#wakeAtNextClient()
    this.#onChange(true)
  }

  #lookLater(timeout: number, left = timeout): void {
    const pause = Math.min(Math.max(Math.min(timeout / LOOKS, left), SHORTEST), LONGEST)
    this.#timer = setTimeout(() => this.#look(timeout), pause).unref()
  }

  #isBusy(): boolean {
    return this.#holds > 0 || this.#served.some(({ connections }) => (connections?.atWork ?? 0) > 0)
  }

  #markNow(): string {
    return [this.#events, ...this.#served.map(({ connections }) => connections?.mark)].join()
  }

  #note(): void {
    this.#events += 1
    if (this.#isIdle) this.#wake()
  }

  /** Hears of the next client at once, not at the next look: a supervisor ends the daemon when all workers are idle. */
  #wakeAtNextClient(): void {
    const note = () => this.#note()
    // Node takes a listener for upgrades for the program's promise to handle them: that one is added where there is one.
    const heard = this.#served.flatMap(({ server }) => {
      if (!isStream(server)) return []
      const upgrades = ['upgrade', 'connect'].filter(event => server.listenerCount(event) > 0)
      return (isHttp(server) ? ['request', ...upgrades] : ['connection']).map(event => ({ server, event }))
    })
    for (const { server, event } of heard) server.prependListener(event, note)
    this.#unsubscribe = () => {
      for (const { server, event } of heard) server.off(event, note)
    }
  }

  #wake(): void {
    if (this.#timeout === null) return
    this.#unsubscribe()
    this.#isIdle = false
    this.#activeAt = performance.now()
    this.#onChange(false)
    this.#lookLater(this.#timeout)
  }
}
