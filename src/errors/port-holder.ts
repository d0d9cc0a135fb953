// Finds who listens on a taken address: proc_net_tcp(5), proc_net_unix(5), and the descriptors that this user may look at.
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'

/** The state of a listening socket in /proc/net/tcp: TCP_LISTEN. */
const LISTENING = '0A'

/** Gives the pid of a process that listens on `HOST:PORT`, or on a Unix socket's path; null where that can't be seen. */
export function holderOf(address: string): number | null {
  const inodes = address.startsWith('/') ? unixInodes(address) : tcpInodes(Number(address.split(':').at(-1)))
  return inodes.size === 0 ? null : holderOfSocket(inodes)
}

function unixInodes(path: string): Set<string> {
  const lines = table('unix').map(line => line.trim().split(/\s+/))
  return new Set(lines.filter(fields => fields[7] === path).map(fields => fields[6] ?? ''))
}

function tcpInodes(port: number): Set<string> {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  const lines = [...table('tcp'), ...table('tcp6')].map(line => line.trim().split(/\s+/))
  const listening = lines.filter(fields => fields[1]?.endsWith(suffix) && fields[3] === LISTENING)
  return new Set(listening.map(fields => fields[9] ?? ''))
}

function holderOfSocket(inodes: ReadonlySet<string>): number | null {
  const pids = list('/proc').filter(entry => /^\d+$/.test(entry))
  const holds = (pid: string) => list(`/proc/${pid}/fd`).some(fd => inodes.has(socketInode(`/proc/${pid}/fd/${fd}`)))
  const pid = pids.find(holds)
  return pid === undefined ? null : Number(pid)
}

function socketInode(link: string): string {
  try {
    return /^socket:\[(\d+)\]$/.exec(readlinkSync(link))?.[1] ?? ''
  } catch {
    return '' // closed since it was listed
  }
}

/** Reads the lines below a table's heading; none where the kernel has no such table. */
function table(name: string): string[] {
  try {
    return readFileSync(`/proc/net/${name}`, 'utf8').split('\n').slice(1)
  } catch {
    return []
  }
}

function list(directory: string): string[] {
  try {
    return readdirSync(directory)
  } catch {
    return [] // of another user's process, or of one that has exited
  }
}
