// The connections of one server: which of them are at work, and how they end when the daemon stops. Each is noted once,
// when it is accepted. No code here runs for a request: requests under way are found when somebody asks for them.
import type { Server as HttpServer, ServerResponse } from 'node:http'
import type { Http2Server, ServerHttp2Session } from 'node:http2'
import type { Server, Socket } from 'node:net'

/** Milliseconds that a kept-alive connection may stay idle while the server drains: its client may be sending a request. */
const IDLE_GRACE = 500

/** A connection as HTTP sees it: Node notes on it the response under way and, until an upgrade, the parser. */
interface Carrier extends Socket {
  _httpMessage?: ServerResponse | null
  parser?: object | null
  alpnProtocol?: string | false | null
}

/** Whether this runtime notes the response on its connection, as Node does. Elsewhere each response is followed. */
const NOTES_RESPONSES = !('bun' in process.versions) && !('deno' in process.versions)

/** The open connections of a server. */
export class Connections {
  readonly #server: Server
  /** Connections as the kernel sees them. */
  readonly #open = new Set<Socket>()
  /** Connections as HTTP sees them: with TLS, those whose handshake is over. */
  readonly #carriers: Set<Carrier>
  readonly #sessions = new Set<ServerHttp2Session>()
  /** Responses under way, only where the runtime doesn't note them. */
  readonly #responses = new Set<ServerResponse>()
  /** How many connections came or went. */
  #changes = 0
  #isDraining = false
  #onFewer = () => {}

  /** Begins to note them: call it before the server listens. */
  constructor(server: Server) {
    this.#server = server
    const isTls = 'setSecureContext' in server
    this.#carriers = isTls ? new Set() : this.#open
    server.on('connection', (socket: Socket) => this.#add(this.#open, socket))
    if (isTls) server.on('secureConnection', (socket: Socket) => this.#add(this.#carriers, socket))
    if (isHttp2(server)) server.on('session', session => this.#addSession(session))
    if (isHttp(server) && !NOTES_RESPONSES) {
      server.prependListener('request', (_, response) => {
        this.#responses.add(response)
        response.once('close', () => this.#responses.delete(response))
      })
    }
  }

  /** How many are open. */
  get size(): number {
    return this.#open.size
  }

  /**
   * How many have work under way. A connection that is merely kept alive for HTTP/1 has none; those of HTTP/2 don't count:
   * their streams have events of their own.
   */
  get atWork(): number {
    if (!isHttp(this.#server)) return isHttp2(this.#server) ? 0 : this.#open.size
    if (!NOTES_RESPONSES) return this.#responses.size
    return this.#http1().filter(each => each._httpMessage || isUpgraded(each)).length
  }

  /** Another text after a connection came or went, or an HTTP/1 response was written. */
  get mark(): string {
    const written = isHttp(this.#server) ? this.#http1().reduce((sum, socket) => sum + socket.bytesWritten, 0) : 0
    return `${this.#changes} ${written}`
  }

  /**
   * Lets all that is under way finish: no connection is kept alive any more, idle ones are closed after a moment. Resolves
   * when all are closed. With `upgraded` false it doesn't wait for connections that HTTP has left to the program.
   */
  async drain(upgraded: boolean): Promise<void> {
    this.#endKeepAlive()
    const sweep = setInterval(() => this.#sweep(), IDLE_GRACE)
    await new Promise<void>(resolve => {
      this.#onFewer = () => {
        const ignored = upgraded ? 0 : this.#http1().filter(isUpgraded).length
        if (this.#open.size <= ignored) resolve()
      }
      this.#onFewer()
    })
    clearInterval(sweep)
  }

  /** Closes what is still open. */
  destroy(): void {
    for (const session of this.#sessions) session.destroy()
    for (const socket of this.#open) socket.destroy()
  }

  #add(set: Set<Socket>, socket: Socket): void {
    set.add(socket)
    this.#changes += 1
    socket.once('close', () => {
      set.delete(socket)
      this.#changes += 1
      this.#onFewer()
    })
  }

  #addSession(session: ServerHttp2Session): void {
    this.#sessions.add(session)
    session.once('close', () => this.#sessions.delete(session))
    if (this.#isDraining) session.close()
  }

  /** Lists the connections that speak HTTP/1, or spoke it until they were upgraded. */
  #http1(): Carrier[] {
    return isHttp(this.#server) ? [...this.#carriers].filter(each => each.alpnProtocol !== 'h2') : []
  }

  #endKeepAlive(): void {
    if (this.#isDraining) return
    this.#isDraining = true
    for (const session of this.#sessions) session.close() // GOAWAY: open streams are finished
    const underWay = NOTES_RESPONSES ? this.#http1().map(each => each._httpMessage) : this.#responses
    for (const response of underWay) if (response && !response.headersSent) response.shouldKeepAlive = false
    if (!isHttp(this.#server)) return
    this.#server.prependListener('request', (_, response) => {
      if ('shouldKeepAlive' in response) response.shouldKeepAlive = false
    })
  }

  #sweep(): void {
    if (isHttp(this.#server)) this.#server.closeIdleConnections()
    // Browsers keep a spare connection that has never sent anything: to Node that isn't idle.
    for (const socket of isHttp(this.#server) || isHttp2(this.#server) ? this.#carriers : []) {
      if (socket.bytesRead === 0) socket.destroy()
    }
    this.#onFewer()
  }
}

/** Whether HTTP/1 has left the connection to the program: Node takes its parser away then. */
function isUpgraded(socket: Carrier): boolean {
  return NOTES_RESPONSES && !socket.parser
}

/** Whether it speaks HTTP/1, perhaps beside HTTP/2. */
export function isHttp(server: Server): server is HttpServer {
  return 'closeIdleConnections' in server
}

/** Whether it speaks HTTP/2, perhaps beside HTTP/1. */
export function isHttp2(server: Server): server is Http2Server {
  return 'updateSettings' in server
}
