// The daemon's listening sockets: handed over by a launcher or service manager, or bound in this process.
import { lstatSync, rmSync } from 'node:fs'
import type { ListenPlan } from '#native'
import { checked, native } from '../binding/addon.js'
import { serviceManager } from '../process/service-manager.js'
import type { ListenSocket } from '../types.js'
import { passedSockets } from './passed-sockets.js'

type Sockets = Record<string, ListenSocket>

/**
 * Takes the sockets that were passed to this process by LISTEN_FDS: sd_listen_fds(3). `paths` are those of Unix sockets,
 * as they were asked for.
 */
export function takeSockets(paths: Readonly<Record<string, string>>): Sockets {
  const sockets = byName(native.passedSockets().map(socket => withPath(socket, paths)))
  forgetPassing()
  return sockets
}

/**
 * Takes the sockets that a service manager passed for those in `listen`, and binds the others. What was passed besides comes
 * under the names that the manager gave.
 */
export function listenHere(listen: readonly ListenPlan[]): Sockets {
  const { taken, others } = passedSockets(listen)
  forgetPassing()
  const passed = byName([...others, ...[...taken].map(([name, socket]) => ({ ...socket, name }))])
  const bound = byName(checked(native.bindSockets(listen.filter(({ name }) => !taken.has(name)))))
  if (!store(bound)) removeFilesAtExit(bound)
  return { ...passed, ...bound }
}

/** Has a service manager that can do it keep these sockets for the next start; tells whether there is one. */
function store(sockets: Sockets): boolean {
  const manager = serviceManager()
  if (!manager?.storesSockets) return false
  for (const [name, { fd }] of Object.entries(sockets)) manager.store(name, fd)
  return true
}

/** Removes what a child process would take for its own. */
function forgetPassing(): void {
  for (const variable of ['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES']) delete process.env[variable]
}

/** Gives the paths of Unix sockets, by name. */
export function pathsOf(listen: readonly ListenPlan[]): Record<string, string> {
  return Object.fromEntries(listen.flatMap(({ name, path }) => (path === undefined ? [] : [[name, path]])))
}

/** Has the files of these Unix sockets removed when the process exits, but for one that another socket has replaced. */
export function removeFilesAtExit(sockets: Sockets): void {
  const added = Object.values(sockets).filter(({ address }) => address.startsWith('/'))
  if (added.length === 0) return
  if (files.size === 0) process.on('exit', removeFiles)
  for (const { address } of added) files.set(address, inodeOf(address))
}

/** Removes the socket files at once, so that no new client connects; those that have connected are still served. */
export function removeFiles(): void {
  for (const [address, inode] of files) if (inode !== null && inodeOf(address) === inode) remove(address)
}

/** Removes the socket files for good: the process goes on without being a daemon. */
export function releaseSocketFiles(): void {
  removeFiles()
  files.clear()
  process.off('exit', removeFiles)
}

/** The inode of each socket file, by path. */
const files = new Map<string, string | null>()

/** Removes a socket file, if this user may: the next start replaces one that no process listens on. */
function remove(path: string): void {
  try {
    rmSync(path)
  } catch {
    // it stays, and does no harm
  }
}

function inodeOf(path: string): string | null {
  try {
    const { dev, ino } = lstatSync(path)
    return `${dev}:${ino}`
  } catch {
    return null // gone, or out of sight
  }
}

/** Gives the socket the path that was asked for: a longer one than the kernel's addresses was bound by a shorter one. */
function withPath<S extends { name: string; address: string }>(socket: S, paths: Readonly<Record<string, string>>): S {
  const path = paths[socket.name]
  return path !== undefined && socket.address.startsWith('/') ? { ...socket, address: path } : socket
}

function byName(sockets: readonly { name: string; fd: number; address: string }[]): Sockets {
  return Object.fromEntries(sockets.map(({ name, fd, address }) => [name, { fd, address }]))
}
