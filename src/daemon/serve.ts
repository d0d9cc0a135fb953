// Listening on a socket that was bound elsewhere, and ending so that nobody's request is lost.
import type { Socket as UdpSocket } from 'node:dgram'
import type { Server as HttpServer, ServerResponse } from 'node:http'
import type { ServerHttp2Session } from 'node:http2'
import type { Server, Socket } from 'node:net'

/** How long a kept-alive connection may stay idle while the server drains, in milliseconds: its client may be sending. */
const IDLE_GRACE = 500

/** Ends a server: resolves when all that was in flight is answered. */
export type Drain = () => Promise<void>

/** Listens on descriptor `fd`; resolves with the way to end it once it does. */
export async function listenOn(server: Server | UdpSocket, fd: number): Promise<Drain> {
  // Before listening: a connection may be there at once.
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
      // One that never sent anything (a browser's spare) isn't idle to Node.
      for (const socket of connections) if (socket.bytesRead === 0) socket.destroy()
    }, IDLE_GRACE)
    await stopAccepting(server)
    clearInterval(sweep)
  }
}

/** net.Server's own close: http.Server's ends idle connections at once, with the request that may be on its way. */
function stopAccepting(server: Server): Promise<void> {
  const { Server } = process.getBuiltinModule('node:net')
  return closed(server, () => Server.prototype.close.call(server))
}

function closed(server: Server | UdpSocket, close: () => unknown): Promise<void> {
  return new Promise(resolve => {
    server.once('close', resolve)
    if ('listening' in server && !server.listening) resolve()
    else close()
  })
}

export function isStream(server: Server | UdpSocket): server is Server {
  return 'listen' in server
}

export function isHttp(server: Server): server is HttpServer {
  return 'closeIdleConnections' in server
}
