// Listening by a script that does not know this library: where it listens on a port or path of the `listen` option, it
// gets the socket that was bound for it, which it shares with other workers and with its successor.
import type { Server } from 'node:net'
import type { ListenPlan } from '#native'
import { checked, native } from '../binding/addon.js'
import type { ListenSocket } from '../types.js'
import type { RunningDaemon } from './running-daemon.js'

/** Where server.listen() is to listen: one of these decides. */
interface Wish {
  port?: unknown
  path?: unknown
  fd?: unknown
}

type Listen = (this: Server, ...args: unknown[]) => Server

/**
 * Has every server.listen() from now on use a socket of `listen` where one has the address that is asked for: binding it
 * again would fail with EADDRINUSE.
 */
export function inheritListening(daemon: RunningDaemon, listen: readonly ListenPlan[]): void {
  const names = listen.filter(({ udp }) => !udp).map(({ name }) => name)
  if (names.length === 0) return
  const { Server } = process.getBuiltinModule('node:net')
  const original = Server.prototype.listen as Listen
  Server.prototype.listen = function (this: Server, ...args: unknown[]) {
    const socket = socketFor(
      names.flatMap(name => daemon.sockets[name] ?? []),
      wishOf(args),
    )
    if (socket === undefined) return original.apply(this, args)
    const listening = args.findLast(each => typeof each === 'function') as (() => void) | undefined
    if (listening) this.once('listening', listening)
    // A server closes what it listens on, and may listen again: each gets a descriptor of its own.
    const fd = checked(native.duplicateDescriptor(socket.fd))
    daemon.inherit(this, { ...socket, fd }).catch(error => {
      // inherit() listens for 'error' itself, which keeps Node from throwing an error that the program does not handle.
      if (this.listenerCount('error') === 0) throw error
    })
    return this
  } as typeof Server.prototype.listen
}

/** Reads the arguments of server.listen(): (port…), (path…) or (options…). */
function wishOf([first]: unknown[]): Wish {
  if (typeof first === 'object' && first !== null) return first
  if (typeof first === 'string' && !/^\d+$/.test(first)) return { path: first }
  return { port: first }
}

/** Finds the socket at that port or path, whatever the host: the script may ask for fewer interfaces than were bound. */
function socketFor(sockets: readonly ListenSocket[], { port, path, fd }: Wish): ListenSocket | undefined {
  if (fd !== undefined) return undefined
  const wanted = port === undefined ? path : Number(port)
  return sockets.find(({ address }) => wanted === (portOf(address) ?? address))
}

function portOf(address: string): number | undefined {
  const [, port] = /:(\d+)$/.exec(address) ?? []
  return address.startsWith('/') || port === undefined ? undefined : Number(port)
}
