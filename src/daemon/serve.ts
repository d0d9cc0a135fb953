// Serving: listening on a socket that was bound elsewhere, and draining, so that no request is lost when the daemon stops.
import type { Socket as UdpSocket } from 'node:dgram'
import type { Server as HttpServer, ServerResponse } from 'node:http'
import type { ServerHttp2Session } from 'node:http2'
import type { Server, Socket } from 'node:net'

/** Milliseconds that a kept-alive connection may stay idle while the server drains: its client may be sending a request. */
const IDLE_GRACE = 500

/** Closes a server; resolves when everything in flight has been answered. */
export type Drain = () => Promise<void>

/** Has the server listen on descriptor `fd`; resolves, once it does, with the function that drains it. */
export async function listenOn(server: Server | UdpSocket, fd: number): Promise<Drain> {
  // Before listening, since a connection may be accepted at once.
  const drain = isStream(server) ? prepareDrain(server) : () => closed(server, () => server.close())
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    const listening = () => {
      server.off('error', reject)
      resolve()
    }
    if (isStream(server)) server.listen({ fd }, listening)
    else server.bind({ fd }, listening)
  })
  return drain
}

function prepareDrain(server: Server): Drain {
  if (isHttp(server)) return drainHttp(server)
  const sessions = new Set<ServerHttp2Session>()
  server.on('session', (session: ServerHttp2Session) => {
    sessions.add(session)
    session.once('close', () => sessions.delete(session))
  })
  return async () => {
    const ended = stopAccepting(server)
    for (const session of sessions) session.close() // GOAWAY: open streams are finished
    await ended
  }
}

function drainHttp(server: HttpServer): Drain {
  const answering = new Set<ServerResponse>()
  const connections = new Set<Socket>()
  let draining = false
  server.prependListener('request', (_, response) => {
    if (draining) response.shouldKeepAlive = false
    answering.add(response)
    response.once('close', () => answering.delete(response))
  })
  for (const event of ['connection', 'secureConnection']) {
    server.on(event, (socket: Socket) => {
      connections.add(socket)
      socket.once('close', () => connections.delete(socket))
    })
  }
  return async () => {
    draining = true
    for (const response of answering) {
      if (!response.headersSent) response.shouldKeepAlive = false
    }
    const sweep = setInterval(() => {
      server.closeIdleConnections()
      // Browsers keep a spare connection that has never sent anything: to Node that isn't idle.
      for (const socket of connections) if (socket.bytesRead === 0) socket.destroy()
    }, IDLE_GRACE)
    await stopAccepting(server)
    clearInterval(sweep)
  }
}

/** Closes by net.Server's own close(): http.Server's ends idle connections at once, and a request may be on its way there. */
function stopAccepting(server: Server): Promise<void> {
  const { Server } = process.getBuiltinModule('node:net')
  return closed(server, () => Server.prototype.close.call(server))
}

/** Resolves when the server has closed; one that does not listen is closed already. */
function closed(server: Server | UdpSocket, close: () => unknown): Promise<void> {
  return new Promise(resolve => {
    server.once('close', resolve)
    if ('listening' in server && !server.listening) resolve()
    else close()
  })
}

/** Whether it accepts connections, rather than datagrams. */
export function isStream(server: Server | UdpSocket): server is Server {
  return 'listen' in server
}

/** Whether it is an HTTP/1 server. */
export function isHttp(server: Server): server is HttpServer {
  return 'closeIdleConnections' in server
}
