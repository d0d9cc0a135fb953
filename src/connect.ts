// Connecting to a daemon, by its name and its socket's name.
import { closeSync, constants, openSync } from 'node:fs'
import type { NetConnectOpts, Socket } from 'node:net'
import { basename, dirname, resolve } from 'node:path'
import { DaemonError, notRunning, OptionError } from './errors/classes.js'
import { PidLock } from './pid-lock.js'
import { findRunning, type RunningOne } from './running/find-running.js'
import { isListener } from './running/listener.js'
import { targetPath } from './running/paths.js'
import { status } from './status.js'
import type { Abortable } from './types.js'

/** How long to wait for a daemon that is starting or stopping, in milliseconds. */
const SETTLE_TIMEOUT = 30_000
/** The longest path that sun_path of unix(7) holds, in bytes without the NUL; the BSDs hold less. */
const LONGEST_ADDRESS = process.platform === 'linux' ? 107 : 103

/**
 * Connects to one of a daemon's listening sockets. `target` is a name (NAME, NAME@HASH) in the run directory or, with a
 * slash, a pid file. A daemon that is starting or stopping is waited for, up to 30 s. A daemon that begins to stop at this
 * very moment may accept the connection and close it without an answer: a client that gets none calls launch() and
 * connects again.
 * @throws DaemonError ERR_DAEMON_NOT_RUNNING: it doesn't run, or its socket was closed just now
 * @throws DaemonError ERR_DAEMON_UNVERIFIED: another user's daemon named a socket that isn't that user's
 * @throws OptionError the daemon has no socket of that name
 * @throws SystemCallError the pid file can't be read
 * @throws Error of node:net, if the connection fails otherwise
 * @throws the reason of `signal`, if that aborts before the connection is there
 */
export async function connect(target: string, socket: string, { signal }: Abortable = {}): Promise<Socket> {
  const path = resolve(targetPath(target))
  const running = await findRunning(path, performance.now() + SETTLE_TIMEOUT, signal)
  if (running === null || running === 'late') throw notRunning(path)
  const addresses = await addressesOf(path, running)
  const address = addresses[socket]
  if (address === undefined) {
    // The addresses are gone because the daemon has exited meanwhile.
    if (PidLock.inspect(path).pid !== running.pid) throw notRunning(path)
    const known = Object.keys(addresses).join(', ') || 'none'
    throw new OptionError('socket', `The daemon of ${path} has no socket '${socket}'; it has: ${known}`)
  }
  try {
    const client = await (address.startsWith('/')
      ? connectUnix(address, signal)
      : connected(inetAddress(address), signal))
    requireListener(client, running.author, `${path}: socket '${socket}' (${address})`)
    return client
  } catch (error) {
    if (CLOSED.has((error as NodeJS.ErrnoException).code ?? '')) throw notRunning(path, error)
    throw error
  }
}

/**
 * Requires that the daemon's own user listens at the other end, where the address is the word of another user than this one
 * and root: it could name any socket that this process may connect to.
 */
function requireListener(client: Socket, author: number | null, what: string): void {
  if (author === null || isListener(client, author)) return
  client.destroy()
  throw new DaemonError(
    `${what} is said to be user ${author}’s, and another user listens there: nothing was sent`,
    'ERR_DAEMON_UNVERIFIED',
  )
}

/** Lists a daemon's addresses. Only the supervisor knows those of sockets that the program asked it for later. */
async function addressesOf(path: string, { state }: RunningOne): Promise<Readonly<Record<string, string>>> {
  return state?.supervised ? (await status(path)).addresses : (state?.addresses ?? {})
}

/** The errors of connecting to a socket that was closed. */
const CLOSED = new Set(['ECONNREFUSED', 'ENOENT', 'ECONNRESET'])

/** Connects to a Unix socket. A path too long for the kernel is reached through a descriptor of its directory. */
async function connectUnix(path: string, signal: AbortSignal | undefined): Promise<Socket> {
  if (Buffer.byteLength(path) <= LONGEST_ADDRESS) return connected({ path }, signal)
  const directory = openSync(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    return await connected({ path: `/proc/self/fd/${directory}/${basename(path)}` }, signal)
  } finally {
    closeSync(directory)
  }
}

/** Parses HOST:PORT. A daemon that listens on every interface is reached at localhost. */
function inetAddress(address: string): NetConnectOpts {
  const [, bracketed, plain = '', port] = /^(?:\[(.*)\]|(.*)):(\d+)$/.exec(address) ?? []
  const host = bracketed ?? plain
  return { host: host === '::' || host === '0.0.0.0' ? 'localhost' : host, port: Number(port) }
}

function connected(to: NetConnectOpts, signal: AbortSignal | undefined): Promise<Socket> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted()
    // Loaded here, since few programs connect.
    const socket = process.getBuiltinModule('node:net').connect(to)
    const abort = () => socket.destroy(signal?.reason)
    signal?.addEventListener('abort', abort)
    socket.once('error', reject)
    socket.once('connect', () => {
      signal?.removeEventListener('abort', abort)
      socket.off('error', reject)
      resolve(socket)
    })
  })
}
