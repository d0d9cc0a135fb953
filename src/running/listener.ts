// Whose socket a client is connected to, by the kernel's word.
import { readFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { native } from '../binding/addon.js'

/** The state of a socket that listens, in /proc/net/tcp: proc_pid_net(5). */
const LISTENING = '0A'

/** Whether it is this user, on this machine, who listens at the other end of a connection. False where that can't be seen. */
export function isListener(client: Socket, user: number): boolean {
  const { remoteAddress, remotePort } = client
  if (remoteAddress === undefined || remotePort === undefined) {
    const { _handle: handle } = client as { _handle?: { fd?: number } }
    return native.userOfListener(handle?.fd ?? -1) === user
  }
  const users = listenersAt(remotePort)
  return isOfThisMachine(remoteAddress) && users.length > 0 && users.every(each => each === user)
}

function isOfThisMachine(address: string): boolean {
  const plain = address.replace(/^::ffff:/, '')
  const own = Object.values(process.getBuiltinModule('node:os').networkInterfaces()).flat()
  return plain.startsWith('127.') || plain === '::1' || own.some(each => each?.address === plain)
}

/** Lists the users of all TCP sockets that listen at a port. */
function listenersAt(port: number): number[] {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  return ['tcp', 'tcp6'].flatMap(table => {
    try {
      const rows = readFileSync(`/proc/net/${table}`, 'latin1').split('\n').slice(1)
      const fields = rows.map(row => row.trim().split(/\s+/))
      return fields
        .filter(([, local, , state]) => local?.endsWith(suffix) && state === LISTENING)
        .map(row => Number(row[7]))
    } catch {
      return []
    }
  })
}
