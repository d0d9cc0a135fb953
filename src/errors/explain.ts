// Explains a failed system call to the person who reads it: what could not be done, why, and what stands in the way.
import { lstatSync, readFileSync, readlinkSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { describeErrno } from './errno.js'
import { holderOf } from './port-holder.js'

/** The facts of a failed system call. */
export interface SystemCall {
  step: string
  syscall: string
  errno: number
  path?: string | null | undefined
  detail?: string | null | undefined
  cause?: unknown
}

/** What could not be done, by the name of the step: crates/core/src/error.rs has the names. */
export const DOING: Record<string, string> = {
  'first fork': 'fork (first fork)',
  executable: 'start daemonic’s own executable',
  'second fork': 'fork (second fork)',
  setsid: 'start a session',
  sigprocmask: 'set the signal mask',
  chdir: 'change to the directory',
  chroot: 'change the root to',
  umask: 'set the umask',
  setgroups: 'set the supplementary groups',
  setgid: 'take the group',
  setuid: 'take the user',
  nice: 'set the nice value',
  'io priority': 'set the I/O priority',
  'oom score': 'set the oom score',
  'no new privileges': 'give up new privileges',
  limits: 'set a resource limit',
  close: 'close descriptors',
  dup2: 'redirect a standard stream',
  'pid file create': 'create the pid file',
  'pid file lock': 'lock the pid file',
  'pid file write': 'write the pid file',
  'pid file release': 'remove the pid file',
  stdin: 'open the standard input',
  log: 'open the log',
  listen: 'listen on',
  channel: 'talk to the launcher',
  exec: 'execute',
  signal: 'send the signal to the owner of',
  process: 'read the process',
  control: 'ask the supervisor at',
}

/**
 * Makes the message of a failed system call, such as
 * `cannot open the log /var/log/x/app.log: EACCES, permission denied; the directory /var/log/x belongs to root`.
 */
export function explain({ step, errno, path, detail }: SystemCall): string {
  const [name, text] = describeErrno(errno)
  const object = path ? ` ${path}` : ''
  const isFile = path && (step !== 'listen' || (path.startsWith('/') && name !== 'EADDRINUSE'))
  const why = detail ?? (isFile ? standsInTheWay(name, path) : listenAdvice(name, path))
  return `cannot ${DOING[step] ?? step}${object}: ${name}, ${text}${why ? `; ${why}` : ''}`
}

function standsInTheWay(name: string, path: string): string | undefined {
  switch (name) {
    case 'ENOENT': {
      const missing = firstMissing(dirname(path))
      return missing ? `the directory ${missing} does not exist` : undefined
    }
    case 'EACCES':
    case 'EPERM':
      return belongsTo(path) ?? belongsTo(dirname(path), 'the directory ')
    case 'ELOOP':
      return isLink(path) ? `it is a symbolic link to ${readlinkSync(path)}, and links are not followed` : undefined
    case 'ENOEXEC':
      return 'it is for another system, or a script: name its interpreter, or begin it with a line such as #!/bin/sh'
    case 'EDQUOT':
      return 'free some space there, or have the quota raised'
    case 'EROFS':
      return 'the file system is mounted read-only'
    case 'ENOSPC':
      return 'free some space there'
    case 'ENXIO':
      return 'it is a fifo without a reader, or a socket'
    default:
      return undefined
  }
}

function listenAdvice(name: string, address: string | null | undefined): string | undefined {
  if (name === 'EADDRINUSE') return isOtherFile(address) ? 'it is not a socket' : listener(address)
  if (name === 'EACCES' && address && /:\d{1,3}$/.test(address))
    return 'ports below 1024 need root or CAP_NET_BIND_SERVICE'
  if (name === 'EADDRNOTAVAIL') return 'no interface of this host has that address'
  return undefined
}

/** Gives the highest directory of `path` that does not exist. */
function firstMissing(path: string): string | undefined {
  if (statSync(path, { throwIfNoEntry: false })) return undefined
  return firstMissing(dirname(path)) ?? path
}

function belongsTo(path: string, what = 'it '): string | undefined {
  try {
    const { uid } = statSync(path)
    return uid === process.geteuid?.()
      ? undefined
      : `${what}${what === 'it ' ? '' : `${path} `}belongs to ${userName(uid)}`
  } catch {
    return undefined // it can't even be looked at
  }
}

function listener(address: string | null | undefined): string {
  const pid = address ? holderOf(address) : null
  return `${pid === null ? 'another process' : `pid ${pid}`} listens there`
}

function isOtherFile(path: string | null | undefined): boolean {
  return path?.startsWith('/') === true && lstatSync(path, { throwIfNoEntry: false })?.isSocket() === false
}

function isLink(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() ?? false
}

function userName(uid: number): string {
  try {
    const line = readFileSync('/etc/passwd', 'utf8')
      .split('\n')
      .find(each => each.split(':')[2] === String(uid))
    return line?.split(':')[0] ?? `user ${uid}`
  } catch {
    return `user ${uid}`
  }
}
