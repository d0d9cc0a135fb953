// Serving: listening on a socket that was bound elsewhere, and draining, so that no request is lost when the daemon stops.
import type { Socket as UdpSocket } from 'node:dgram'
import type { Server } from 'node:net'
import { native } from '../binding/addon.js'
import { DaemonError } from '../errors/classes.js'
import type { ListenSocket } from '../types.js'
import { Connections } from './connections.js'

const NO_DESCRIPTORS =
  'this runtime’s server can’t listen on a socket that was bound for it: leave `listen` out and let the server listen on its ' +
  'port itself, or run the program with Node'

/** A server on a socket of the daemon's. */
export interface Served {
  readonly server: Server | UdpSocket
  /** Connections of the server; null for a datagram socket, which has none. */
  readonly connections: Connections | null
}

/** Notes what the server accepts: before it listens, since a connection may be accepted at once. */
export function servedBy(server: Server | UdpSocket): Served {
  return { server, connections: isStream(server) ? new Connections(server) : null }
}

/**
 * Has the server listen on a socket of the daemon's; resolves once it does. Rejects with a DaemonError
 * ERR_DAEMON_UNSUPPORTED where the runtime's servers can't.
 */
export function listenOn(server: Server | UdpSocket, { fd, address }: ListenSocket): Promise<void> {
  if (isStream(server) && isConnection(fd)) return accept(server, fd)
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    const listens = () => {
      server.off('error', reject)
      if (!isStream(server) || listensAt(server, address)) return resolve()
      server.close()
      reject(new DaemonError(NO_DESCRIPTORS, 'ERR_DAEMON_UNSUPPORTED'))
    }
    if (isStream(server)) server.listen({ fd }, listens)
    else server.bind({ fd }, listens)
  })
}

/** Whether that is its address. Bun's http.Server ignores the descriptor that it is given, and takes some free port. */
function listensAt(server: Server, address: string): boolean {
  const actual = server.address()
  if (actual === null || typeof actual === 'string') return true
  return address.endsWith(`:${actual.port}`)
}

/** Whether the descriptor is a connection: a superserver has accepted it, and started this process for it alone. */
export function isConnection(fd: number): boolean {
  return native.socketKind(fd) === 'connection'
}

/** Has the server serve that one connection, as if it had accepted it, and says that it is closed once it ends. */
async function accept(server: Server, fd: number): Promise<void> {
  const { Socket } = process.getBuiltinModule('node:net')
  // As a server's own option says, and http.Server needs.
  const { allowHalfOpen = true } = server as { allowHalfOpen?: boolean }
  const connection = new Socket({ fd, readable: true, writable: true, allowHalfOpen })
  connection.once('close', () => server.emit('close'))
  server.emit('connection', connection)
}

/**
 * Accepts nothing more, and resolves when all that was accepted has ended: all but upgraded connections with `upgraded`
 * false. The server counts as listening until it is closed, by closeServed() or by the program, whose close() thus succeeds.
 */
export async function drain({ server, connections }: Served, upgraded: boolean): Promise<void> {
  if (isStream(server)) stopAccepting(server)
  await connections?.drain(upgraded)
}

/** Closes the server, with the connections that it still has; gives their number. */
export function closeServed({ server, connections }: Served): number {
  const left = connections?.size ?? 0
  if (isStream(server)) {
    // By net.Server's own close(): http.Server's is for those that were not drained.
    const { Server } = process.getBuiltinModule('node:net')
    if (server.listening) Server.prototype.close.call(server)
  } else closeSocket(server)
  connections?.destroy()
  return left
}

/** Whether it accepts connections, rather than datagrams. */
export function isStream(server: Server | UdpSocket): server is Server {
  return 'listen' in server
}

/** What a listening net.Server needs of its handle until it is closed. */
interface Handle {
  close(callback?: () => void): void
  getsockname(address: object): number
  ref(): void
  unref(): void
}

/**
 * Closes the listening descriptor alone, and leaves a handle in its place on which close() still succeeds: a program that
 * closes its server by itself would otherwise hear that the server isn't running, and net.Server's own close() would
 * announce its end to it before it has asked.
 */
function stopAccepting(server: Server & { _handle?: Handle | null }): void {
  const { _handle: handle } = server
  if (!server.listening || !handle) return
  // Bun's handle is another object. There a close() of the program's own hears that the server is closed already.
  if (!('close' in handle)) return void server.close()
  const address = server.address()
  handle.close()
  server._handle = {
    close: callback => void (callback && setImmediate(callback)),
    getsockname(into) {
      Object.assign(into, address)
      return 0
    },
    ref: () => {},
    unref: () => {},
  }
}

function closeSocket(socket: UdpSocket): void {
  try {
    socket.close()
  } catch {
    // the program has closed it
  }
}
