// A client's way to a daemon: by its name and that of the socket.
import { closeSync, constants, openSync } from 'node:fs'
import type { NetConnectOpts, Socket } from 'node:net'
import { basename, dirname, resolve } from 'node:path'
import { DaemonError, OptionError } from './errors/classes.js'
import { PidLock } from './pid-lock.js'
import { findRunning, type RunningOne } from './running/find-running.js'
import { targetPath } from './running/paths.js'
import { status } from './status.js'

/** How long one that starts or ends is waited for, in milliseconds. */
const PATIENCE = 30_000
/** What sun_path of unix(7) holds, without its NUL; less on the BSDs. */
const LONGEST_ADDRESS = process.platform === 'linux' ? 107 : 103

/**
 * Connects to one of a daemon's listening sockets. `target`: a name (NAME, NAME@HASH) in the run directory or, with a
 * slash, a pid file. One that is starting or ending is waited for. One that ends at this very moment may still take the
 * connection and close it without an answer: a client that gets none calls launch() and connects again.
 * @throws DaemonError ERR_DAEMON_NOT_RUNNING also where it ended just now, and nobody answers any more
 * @throws OptionError it has no such socket
 */
export async function connect(target: string, socket: string): Promise<Socket> {
  const path = resolve(targetPath(target))
  const running = await findRunning(path, performance.now() + PATIENCE)
  if (running === null || running === 'late') throw notRunning(path)
  const addresses = await addressesOf(path, running)
  const address = addresses[socket]
  if (address === undefined) {
    // What was known of it went with it.
    if (PidLock.inspect(path).pid !== running.pid) throw notRunning(path)
    const known = Object.keys(addresses).join(', ') || 'none'
    throw new OptionError('socket', `The daemon of ${path} has no socket '${socket}'; it has: ${known}`)
  }
  try {
    return await (address.startsWith('/') ? connectUnix(address) : connected(inetAddress(address)))
  } catch (error) {
    if (GONE.has((error as NodeJS.ErrnoException).code ?? '')) throw notRunning(path, error)
    throw error
  }
}

/** A supervisor knows also of those that the program itself asked it for. */
async function addressesOf(path: string, { state }: RunningOne): Promise<Readonly<Record<string, string>>> {
  return state?.supervised ? (await status(path)).addresses : (state?.addresses ?? {})
}

/** What a client hears where nobody listens any more. */
const GONE = new Set(['ECONNREFUSED', 'ENOENT', 'ECONNRESET'])

function notRunning(path: string, cause?: unknown): DaemonError {
  return new DaemonError(`not running (${path})`, 'ERR_DAEMON_NOT_RUNNING', 7, { cause })
}

/** A path that is too long for the kernel is reached through its directory's descriptor. */
async function connectUnix(path: string): Promise<Socket> {
  if (Buffer.byteLength(path) <= LONGEST_ADDRESS) return connected({ path })
  const directory = openSync(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    return await connected({ path: `/proc/self/fd/${directory}/${basename(path)}` })
  } finally {
    closeSync(directory)
  }
}

/** Every interface is reached by this host's name. */
function inetAddress(address: string): NetConnectOpts {
  const [, bracketed, plain = '', port] = /^(?:\[(.*)\]|(.*)):(\d+)$/.exec(address) ?? []
  const host = bracketed ?? plain
  return { host: host === '::' || host === '0.0.0.0' ? 'localhost' : host, port: Number(port) }
}

function connected(to: NetConnectOpts): Promise<Socket> {
  return new Promise((resolve, reject) => {
    // Few programs are clients: the module is loaded when one is.
    const socket = process.getBuiltinModule('node:net').connect(to)
    socket.once('error', reject)
    socket.once('connect', () => {
      socket.off('error', reject)
      resolve(socket)
    })
  })
}
