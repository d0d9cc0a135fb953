import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type NetConnectOpts, type Server } from 'node:net'
import { networkInterfaces } from 'node:os'
import { text } from 'node:stream/consumers'
import type { ExecutionContext } from 'ava'
import { status } from 'daemonic'
import type { Programs } from '../fixtures/sockets.js'
import { programs, type Scene } from './scene.js'

export const hasV6 = Object.values(networkInterfaces()).some(each => each?.some(({ address }) => address === '::1'))

export const sockets = programs<Programs>('sockets')

export function greeting(options: NetConnectOpts): Promise<string> {
  return text(connect(options))
}

/** What the launcher wrote down, where everybody looks for it. */
export async function address(scene: Scene, name = 'it', pidFile = 'd.pid'): Promise<string> {
  return (await status(scene.path(pidFile))).addresses[name] ?? ''
}

export const portOf = (address: string) => Number(/:(\d+)$/.exec(address)?.[1])

/** One that nobody listens on just now. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

/** A free one below those that the kernel chooses by itself. */
export async function lowPort(): Promise<number> {
  const [first = 32_768] = readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8').split(/\s+/).map(Number)
  for (;;) {
    const server = createServer().listen(randomInt(first / 2, first), '127.0.0.1')
    const listens = await once(server, 'listening').then(
      () => true,
      () => false,
    )
    if (!listens) continue
    const { port } = server.address() as AddressInfo
    server.close()
    await once(server, 'close')
    return port
  }
}

/** A listener of the test's own. */
export async function listener(
  t: ExecutionContext,
  options: { path: string } | { port: number; host: string },
): Promise<Server> {
  const server = createServer().listen(options)
  t.teardown(() => server.close())
  await once(server, 'listening')
  return server
}
