// Sockets that a service manager or superserver has passed to this process, and which of `listen` each of them is.
import { closeSync, lstatSync } from 'node:fs'
import { isIP } from 'node:net'
import type { ListenPlan, Socket } from '#native'
import { native } from '../binding/addon.js'
import { serviceManager } from '../process/service-manager.js'

/** Ends the names of those that this program had its manager keep: crates/core/src/service_manager.rs. */
const STORED = '.stored'
/** What systemd calls a socket whose unit gives it no name: the unit's own. */
const UNIT = '.socket'

/** What was passed. */
export interface Passed {
  /** Those of `listen`, by their names there. */
  taken: Map<string, Socket>
  /** The others, by the names that they came with. */
  others: Socket[]
}

/**
 * Finds the passed sockets that `listen` asks for: by name, then by address. Those that the manager kept from the last run,
 * and that listen elsewhere than is asked now, are closed, and the manager forgets them. `mayAskForMore`: the program itself
 * may, so that what `listen` does not name is left to the supervisor.
 */
export function passedSockets(listen: readonly ListenPlan[], mayAskForMore = false): Passed {
  const passed = [...native.passedSockets(), ...standardInput()]
  const isStored = ({ name }: Socket) => name.endsWith(STORED)
  const taken = new Map<string, Socket>()
  const others = passed.filter(socket => !isStored(socket))
  for (const socket of passed.filter(isStored)) {
    const name = socket.name.slice(0, -STORED.length)
    const plan = listen.find(each => each.name === name)
    if (plan && !taken.has(name) && isKind(socket, plan) && isSame(socket, plan)) taken.set(name, socket)
    else if (plan || !mayAskForMore) forget(socket, name)
    else others.push(socket)
  }
  const take = (fits: (socket: Socket, plan: ListenPlan) => boolean) => {
    for (const plan of listen.filter(({ name }) => !taken.has(name))) {
      const index = others.findIndex(socket => isKind(socket, plan) && fits(socket, plan))
      const [socket] = index < 0 ? [] : others.splice(index, 1)
      if (socket) taken.set(plan.name, socket)
    }
  }
  take(({ name }, plan) => name === plan.name || name === plan.name + UNIT)
  take(hasAddress)
  // The one connection of a process that was started for it is for the one server that there is.
  if (listen.length === 1) take(({ fd }) => native.socketKind(fd) === 'connection')
  return { taken, others }
}

/** Describes a passed socket as if it had been asked for. */
export function listenPlanOf(name: string, fd: number, address: string): ListenPlan {
  const { host, port } = hostAndPort(address)
  const where = port === undefined ? { path: address } : { port, ...(host !== undefined && { host }) }
  return {
    name,
    ...where,
    fd,
    backlog: 1,
    ipv6Only: false,
    reusePort: false,
    udp: native.socketKind(fd) === 'datagram',
  }
}

/** Gives the socket that a superserver has made this process's standard input. */
function standardInput(): Socket[] {
  if (!native.contextFacts().oneSocketForStdio) return []
  return [{ name: 'stdin', fd: 0, address: native.socketAddress(0) }]
}

function forget({ fd }: Socket, name: string): void {
  closeSync(fd)
  serviceManager()?.forget(name)
}

function isKind({ fd }: Socket, { udp }: ListenPlan): boolean {
  const kind = native.socketKind(fd)
  return kind !== null && (kind === 'datagram') === udp
}

/** Whether it has the port or path that is asked for: on which interfaces is the choice of who has bound it. */
function hasAddress({ address }: Socket, { host, port, path }: ListenPlan): boolean {
  if (path !== undefined) return address === path
  const { host: bound, port: own } = hostAndPort(address)
  return port === own && (host === undefined || isIP(host) === 0 || host === bound)
}

/** Whether binding what is asked for would give the same socket. A port that the kernel has chosen once is kept. */
function isSame(socket: Socket, plan: ListenPlan): boolean {
  if (plan.path !== undefined) return socket.address === plan.path && isThere(plan.path)
  const { host, port } = hostAndPort(socket.address)
  if (plan.port !== 0 && plan.port !== port) return false
  if (plan.host === undefined) return host === '::' || host === '0.0.0.0'
  return plan.host === host || (plan.host === 'localhost' && (host === '127.0.0.1' || host === '::1'))
}

function isThere(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isSocket() === true
}

function hostAndPort(address: string): { host?: string | undefined; port?: number } {
  const [, bracketed, host, port] = /^(?:\[([^\]]*)\]|([^:]*)):(\d+)$/.exec(address) ?? []
  return port === undefined ? {} : { host: bracketed ?? host, port: Number(port) }
}
