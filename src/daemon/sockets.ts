// The daemon's listening sockets: handed over by the launcher or a service manager, or bound here.
import { lstatSync, rmSync } from 'node:fs'
import type { ListenPlan } from '#native'
import { checked, native } from '../binding/addon.js'
import type { ListenSocket } from '../types.js'

type Sockets = Record<string, ListenSocket>

/** What was passed to this process by LISTEN_FDS, sd_listen_fds(3). `paths`: of Unix sockets, as they were asked for. */
export function takeSockets(paths: Readonly<Record<string, string>>): Sockets {
  const sockets = byName(native.passedSockets().map(socket => withPath(socket, paths)))
  for (const variable of ['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES']) delete process.env[variable]
  return sockets
}

/** In the foreground: sockets that a service manager passed under the same name are used; the others are bound. */
export function listenHere(listen: readonly ListenPlan[]): Sockets {
  const passed = takeSockets(pathsOf(listen))
  const bound = byName(checked(native.bindSockets(listen.filter(({ name }) => !(name in passed)))))
  removeFilesAtExit(bound)
  return { ...passed, ...bound }
}

/** The files of Unix sockets, by name. */
export function pathsOf(listen: readonly ListenPlan[]): Record<string, string> {
  return Object.fromEntries(listen.flatMap(({ name, path }) => (path === undefined ? [] : [[name, path]])))
}

/** Unix sockets that were bound for us leave no file behind, unless another's has taken its place. */
export function removeFilesAtExit(sockets: Sockets): void {
  const added = Object.values(sockets).filter(({ address }) => address.startsWith('/'))
  if (added.length === 0) return
  if (files.size === 0) process.on('exit', removeFiles)
  for (const { address } of added) files.set(address, inodeOf(address))
}

/** Now: nobody connects any more, and who has connected is still to be accepted. */
export function removeFiles(): void {
  for (const [address, inode] of files) if (inode !== null && inodeOf(address) === inode) remove(address)
}

/** By path, the inode. */
const files = new Map<string, string | null>()

/** A daemon that gave up its rights may not; the next start replaces a socket file that nobody answers on. */
function remove(path: string): void {
  try {
    rmSync(path)
  } catch {
    // nothing depends on it
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

/** A path that is longer than the kernel's addresses was bound by a shorter one, which is all that the kernel tells. */
function withPath<S extends { name: string; address: string }>(socket: S, paths: Readonly<Record<string, string>>): S {
  const path = paths[socket.name]
  return path !== undefined && socket.address.startsWith('/') ? { ...socket, address: path } : socket
}

function byName(sockets: readonly { name: string; fd: number; address: string }[]): Sockets {
  return Object.fromEntries(sockets.map(({ name, fd, address }) => [name, { fd, address }]))
}
