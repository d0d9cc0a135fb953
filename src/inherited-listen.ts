// A script that knows nothing of us listens on a port or path that was given for it, too: it gets the socket that was
// bound for it, which its other workers and its successor share.
import type { Server } from 'node:net'
import type { RunningDaemon } from './daemon.js'
import type { ListenSocket } from './types.js'

/** What server.listen() may name: one of these decides. */
interface Wish {
  port?: unknown
  path?: unknown
  fd?: unknown
}

type Listen = (this: Server, ...args: unknown[]) => Server

/** From now on. Only what would otherwise fail with EADDRINUSE is answered with the socket of `listen`. */
export function inheritListening(daemon: RunningDaemon): void {
  if (Object.keys(daemon.sockets).length === 0) return
  const { Server } = process.getBuiltinModule('node:net')
  const listen = Server.prototype.listen as Listen
  Server.prototype.listen = function (this: Server, ...args: unknown[]) {
    const socket = socketFor(daemon, wishOf(args))
    if (socket === undefined) return listen.apply(this, args)
    const listening = args.findLast(each => typeof each === 'function') as (() => void) | undefined
    if (listening) this.once('listening', listening)
    void daemon.inherit(this, socket)
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
function socketFor(daemon: RunningDaemon, { port, path, fd }: Wish): ListenSocket | undefined {
  if (fd !== undefined) return undefined
  const wanted = port === undefined ? path : Number(port)
  return Object.values(daemon.sockets).find(({ address }) => wanted === (portOf(address) ?? address))
}

function portOf(address: string): number | undefined {
  const [, port] = /:(\d+)$/.exec(address) ?? []
  return address.startsWith('/') || port === undefined ? undefined : Number(port)
}
