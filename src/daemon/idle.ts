// How long nobody has wanted anything of the daemon: `idleTimeout`.
import type { Socket as UdpSocket } from 'node:dgram'
import type { EventEmitter } from 'node:events'
import type { Server } from 'node:net'
import { isHttp, isStream } from './serve.js'

/** Counts what keeps the daemon: connections, requests, busy(). */
export class Idleness {
  readonly #tell: (isIdle: boolean) => void
  #timeout: number | null = null
  #holds = 0
  #timer: NodeJS.Timeout | undefined
  #isIdle = false

  /** `tell`: it has been idle for the whole timeout, or, later, is so no more. */
  constructor(tell: (isIdle: boolean) => void) {
    this.#tell = tell
  }

  /** From now on; null: never idle. */
  start(timeout: number | null): void {
    this.#timeout = timeout
    this.#wait()
  }

  get isHeld(): boolean {
    return this.#holds > 0
  }

  /** Not idle until disposed, any number of times. */
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
   * A connection counts while it is open. Of HTTP a request counts until it is answered, and an upgraded connection; one
   * that is merely kept alive does not. Of UDP every message begins the time anew.
   */
  watch(server: Server | UdpSocket): void {
    if (!isStream(server)) server.on('message', () => this.hold()[Symbol.dispose]())
    else if (isHttp(server)) {
      this.#holdWhile(server, 'request', (_, response) => response)
      this.#holdWhileTunnelled(server)
    } else this.#holdWhile(server, isHttp2(server) ? 'stream' : 'connection', each => each)
  }

  /** A listener of ours alone would tell Node that the program handles them: ours comes with the program's. */
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
      this.#tell(true)
    }, this.#timeout).unref()
  }

  #wake(): void {
    clearTimeout(this.#timer)
    if (!this.#isIdle) return
    this.#isIdle = false
    this.#tell(false)
  }
}

function isHttp2(server: Server): boolean {
  return 'updateSettings' in server
}
