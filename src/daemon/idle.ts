// Idleness: how long the daemon has had no clients and no work. The `idleTimeout` option.
import type { Socket as UdpSocket } from 'node:dgram'
import type { EventEmitter } from 'node:events'
import type { Server } from 'node:net'
import { isHttp, isStream } from './serve.js'

/** Counts what keeps the daemon from being idle: connections, requests, busy(). */
export class Idleness {
  readonly #onChange: (isIdle: boolean) => void
  #timeout: number | null = null
  #holds = 0
  #timer: NodeJS.Timeout | undefined
  #isIdle = false

  /** Calls `onChange` with true once the daemon has been idle for the whole timeout, with false when it no longer is. */
  constructor(onChange: (isIdle: boolean) => void) {
    this.#onChange = onChange
  }

  /** Begins to measure; with null the daemon never counts as idle. */
  start(timeout: number | null): void {
    this.#timeout = timeout
    this.#wait()
  }

  /** Keeps the daemon from being idle until the hold is disposed; disposing it again does nothing. */
  hold(): Disposable {
    let isHeld = true
    this.#holds += 1
    this.#wake()
    return {
      [Symbol.dispose]: () => {
        if (!isHeld) return
        isHeld = false
        this.#holds -= 1
        this.#wait()
      },
    }
  }

  /**
   * Counts what a server's clients do. A connection counts while it is open; but with HTTP a request counts until it is
   * answered, and an upgraded connection while it is open, not one that is merely kept alive. With UDP every message
   * begins the time anew.
   */
  watch(server: Server | UdpSocket): void {
    if (!isStream(server)) server.on('message', () => this.hold()[Symbol.dispose]())
    else if (isHttp(server)) {
      this.#holdWhile(server, 'request', (_, response) => response)
      this.#holdWhileTunnelled(server)
    } else this.#holdWhile(server, isHttp2(server) ? 'stream' : 'connection', each => each)
  }

  /**
   * Holds while an upgraded or CONNECT connection is open. Node takes any listener for the program's promise to handle
   * these, so this one is added only when the program adds its own.
   */
  #holdWhileTunnelled(server: Server): void {
    for (const event of ['upgrade', 'connect']) {
      const add = () => this.#holdWhile(server, event, (_, socket) => socket)
      const seen = (name: string | symbol) => {
        if (name !== event) return
        server.off('newListener', seen)
        add()
      }
      if (server.listenerCount(event) > 0) add()
      else server.on('newListener', seen)
    }
  }

  /** Holds from each event until what `of` finds in its arguments is closed. */
  #holdWhile(server: Server, event: string, of: (...args: EventEmitter[]) => EventEmitter | undefined): void {
    server.prependListener(event, (...args: EventEmitter[]) => {
      const hold = this.hold()
      of(...args)?.once('close', () => hold[Symbol.dispose]())
    })
  }

  #wait(): void {
    if (this.#holds > 0 || this.#timeout === null) return
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      this.#isIdle = true
      this.#onChange(true)
    }, this.#timeout).unref()
  }

  #wake(): void {
    clearTimeout(this.#timer)
    if (!this.#isIdle) return
    this.#isIdle = false
    this.#onChange(false)
  }
}

function isHttp2(server: Server): boolean {
  return 'updateSettings' in server
}
