// A script that knows nothing of us listens on a port or path that was given for it, too: it gets the socket that was
// bound for it, which its other workers and its successor share.
import type { Server } from 'node:net'
import type { ListenPlan } from '#native'
import { checked, native } from '../binding/addon.js'
import type { ListenSocket } from '../types.js'
import type { RunningDaemon } from './running-daemon.js'

/** What server.listen() may name: one of these decides. */
interface Wish {
  port?: unknown
  path?: unknown
  fd?: unknown
}

type Listen = (this: Server, ...args: unknown[]) => Server

/** From now on. Only what would otherwise fail with EADDRINUSE is answered with a socket of `listen`. */
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
      // Our listener kept Node from throwing what nobody handles.
      if (this.listenerCount('error') === 0) throw error
    })
    return this
  } as typeof Server.prototype.listen
}

/** listen(port…), listen(path…), listen(options…). */
function wishOf([first]: unknown[]): Wish {
  if (typeof first === 'object' && first !== null) return first
  if (typeof first === 'string' && !/^\d+$/.test(first)) return { path: first }
  return { port: first }
}

/** The socket at that port, whatever the host: a program under a supervisor may listen on fewer interfaces. */
function socketFor(sockets: readonly ListenSocket[], { port, path, fd }: Wish): ListenSocket | undefined {
  if (fd !== undefined) return undefined
  const wanted = port === undefined ? path : Number(port)
  return sockets.find(({ address }) => wanted === (portOf(address) ?? address))
}

function portOf(address: string): number | undefined {
  const [, port] = /:(\d+)$/.exec(address) ?? []
  return address.startsWith('/') || port === undefined ? undefined : Number(port)
}
