// Opening files that somebody else may have put there: nothing but a regular file is opened, and nothing is waited for.
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import { constants as osConstants } from 'node:os'

/** Opens a file without its content, so that no device or fifo notices: open(2). Node has no name for it. */
const O_PATH = process.platform === 'linux' ? 0o10000000 : 0
const FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY

/**
 * Opens a regular file for reading. The kind is asked of the descriptor, since the path may name another file a moment
 * later; and before the file is really opened, since opening a device can do something (/dev/watchdog).
 * @throws an error like those of node:fs: ELOOP for a symbolic link, EISDIR, EINVAL for a fifo, a device or a socket
 */
export function openRegularFile(path: string): number {
  const handle = openSync(path, FLAGS | O_PATH)
  let isKept = false
  try {
    requireRegular(handle, path)
    if (O_PATH !== 0) return reopened(handle, path)
    isKept = true
    return handle
  } finally {
    if (!isKept) closeSync(handle)
  }
}

/** Reads at most `limit` bytes from the beginning of a file; null if it is longer. */
export function readAtMost(fd: number, limit: number): string | null {
  const room = Buffer.alloc(Math.min(limit, fstatSync(fd).size) + 1)
  let length = 0
  for (;;) {
    const got = readSync(fd, room, length, room.length - length, length)
    length += got
    if (length === room.length) return null // it has grown meanwhile, or is longer than the limit
    if (got === 0) return room.toString('utf8', 0, length)
  }
}

/** Opens the very file that `handle` stands for; without /proc by its path, and looks again at what that opened. */
function reopened(handle: number, path: string): number {
  try {
    return openSync(`/proc/self/fd/${handle}`, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  const fd = openSync(path, FLAGS)
  try {
    requireRegular(fd, path)
    return fd
  } catch (error) {
    closeSync(fd)
    throw error
  }
}

function requireRegular(fd: number, path: string): void {
  const facts = fstatSync(fd)
  if (facts.isFile()) return
  const code = facts.isSymbolicLink() ? 'ELOOP' : facts.isDirectory() ? 'EISDIR' : 'EINVAL'
  throw Object.assign(new Error(`${code}: not a regular file, open '${path}'`), {
    code,
    errno: -osConstants.errno[code],
    syscall: 'open',
    path,
    ...(code === 'EINVAL' && { detail: 'it is not a regular file' }),
  })
}
