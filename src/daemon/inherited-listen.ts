// Listening by the program itself: where a server of its own listens on a port or path of the `listen` option, it gets the
// socket that was bound for it, which it shares with other workers and with its successor. And what it listens on counts
// for readiness.
import type { Socket as UdpSocket } from 'node:dgram'
import type { Server } from 'node:net'
import { checked, native } from '../binding/addon.js'
import { nextTurn } from '../process/next-turn.js'
import type { ListenSocket } from '../types.js'

/** The daemon whose sockets they are. */
interface ListeningDaemon {
  readonly sockets: Readonly<Record<string, ListenSocket>>
  inherit(server: Server, socket: ListenSocket, name: string): Promise<void>
  watch(server: Server | UdpSocket, fd: number): void
  serves(name: string): void
  servesElsewhere(address: string): void
}

/** Where server.listen() is to listen: one of these decides. */
interface Wish {
  port?: unknown
  path?: unknown
  fd?: number
}

type Listen = (this: Server, ...args: unknown[]) => Server

/** The names of the sockets that a server can listen on. */
const streams: string[] = []
/** The names of the UDP sockets. */
const datagrams: string[] = []
/** The daemon whose sockets they are; undefined before there is one, and once it was closed. */
let current: ListeningDaemon | undefined
const replaced = { listen: false, bind: false }

/**
 * Has every server.listen() from now on use one of these sockets of the daemon's where it has the address that is asked
 * for: binding it again would fail with EADDRINUSE.
 */
export function inheritListening(daemon: ListeningDaemon, added: readonly string[]): void {
  const isDatagram = ({ fd }: ListenSocket) => native.socketKind(fd) === 'datagram'
  const names = (udp: boolean) => added.filter(name => isDatagram(daemon.sockets[name] as ListenSocket) === udp)
  current = daemon
  if (names(false).length > 0 && !replaced.listen) replaceListen()
  if (names(true).length > 0 && !replaced.bind) watchBind()
  streams.push(...names(false))
  datagrams.push(...names(true))
}

/** Lets servers listen as if there had been no daemon: it was closed. */
export function forgetListening(): void {
  current = undefined
  streams.length = 0
  datagrams.length = 0
}

/** Has every UDP socket from now on belong to the daemon where it binds the descriptor of one in `listen`. */
function watchBind(): void {
  replaced.bind = true
  const { Socket } = process.getBuiltinModule('node:dgram')
  const original = Socket.prototype.bind as (...args: unknown[]) => UdpSocket
  Socket.prototype.bind = function (this: UdpSocket, ...args: unknown[]) {
    const { fd } = wishOf(args)
    const daemon = current
    const name = fd === undefined ? undefined : datagrams.find(each => daemon?.sockets[each]?.fd === fd)
    if (daemon && name !== undefined && fd !== undefined) {
      daemon.watch(this, fd)
      onceListening(this, () => daemon.serves(name))
    }
    return original.apply(this, args)
  } as typeof Socket.prototype.bind
}

function replaceListen(): void {
  replaced.listen = true
  const { Server } = process.getBuiltinModule('node:net')
  const original = Server.prototype.listen as Listen
  Server.prototype.listen = function (this: Server, ...args: unknown[]) {
    const daemon = current
    if (daemon === undefined) return original.apply(this, args)
    const wish = wishOf(args)
    const name = streams.find(each => isWished(daemon.sockets[each], wish))
    const socket = name === undefined ? undefined : daemon.sockets[name]
    if (name === undefined || socket === undefined || wish.fd !== undefined) {
      if (name !== undefined && wish.fd !== undefined) daemon.watch(this, wish.fd)
      onceListening(this, () => {
        if (name !== undefined) daemon.serves(name)
        else if (wish.fd === undefined) daemon.servesElsewhere(describe(this.address()))
      })
      return original.apply(this, args)
    }
    const listening = args.findLast(each => typeof each === 'function') as (() => void) | undefined
    if (listening) this.once('listening', listening)
    // A server closes what it listens on, and may listen again: each gets a descriptor of its own.
    const fd = checked(native.duplicateDescriptor(socket.fd))
    daemon.inherit(this, { ...socket, fd }, name).catch(error => {
      // inherit() listens for 'error' itself, which keeps Node from throwing an error that the program does not handle.
      if (this.listenerCount('error') === 0) throw error
    })
    return this
  } as typeof Server.prototype.listen
}

/** Acts once it listens, and the program's own listeners have run: what they throw comes first. */
function onceListening(server: Server | UdpSocket, action: () => void): void {
  server.once('listening', () => void nextTurn().then(action))
}

/** Reads the arguments of server.listen(): (port…), (path…) or (options…). */
function wishOf([first]: unknown[]): Wish {
  if (typeof first === 'object' && first !== null) return first
  if (typeof first === 'string' && !/^\d+$/.test(first)) return { path: first }
  return { port: first }
}

/** Whether it is the socket with that descriptor, port or path, whatever the host: the program may ask for fewer interfaces. */
function isWished(socket: ListenSocket | undefined, { port, path, fd }: Wish): boolean {
  if (socket === undefined) return false
  if (fd !== undefined) return fd === socket.fd
  return (port === undefined ? path : Number(port)) === (portOf(socket) ?? socket.address)
}

function portOf({ address }: ListenSocket): number | undefined {
  const [, port] = /:(\d+)$/.exec(address) ?? []
  return address.startsWith('/') || port === undefined ? undefined : Number(port)
}

function describe(address: ReturnType<Server['address']>): string {
  return typeof address === 'object' ? `port ${address?.port}` : address
}
