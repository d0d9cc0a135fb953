import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type NetConnectOpts, type Server } from 'node:net'
import { networkInterfaces } from 'node:os'
import { text } from 'node:stream/consumers'
import type { ExecutionContext } from 'ava'
import { status } from 'daemonic'
import { STAY } from './locks.js'
import { program } from './program.js'
import type { RunOptions, Scene } from './scene.js'

export const hasV6 = Object.values(networkInterfaces()).some(each => each?.some(({ address }) => address === '::1'))

/** What the program of every test begins with; `listen` is what it listens on. */
export const become = (listen: unknown, more: object = {}) =>
  `import net from 'node:net'
const early = Object.fromEntries(Object.entries(process.env).filter(([name]) => name.startsWith('LISTEN_')))
const daemon = daemonize({ name: 'd', pidFile: './d.pid', log: './d.log', listen: ${JSON.stringify(listen)}, ...${JSON.stringify(more)} })
`
/** It greets everyone on the socket `it`, and says who it is. */
export const GREETER = `await daemon.serve(net.createServer(socket => socket.end('hello from ' + process.pid)), 'it'); ${STAY}`

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

export async function refused(
  t: ExecutionContext,
  scene: Scene,
  text: string,
  says: RegExp,
  run: RunOptions = {},
): Promise<void> {
  const path = program(scene, text)
  const before = scene.files()
  const { code, stderr } = await scene.node(path, run)
  t.regex(stderr, says)
  t.is(code, 1)
  t.deepEqual(scene.processes(), [], 'processes left')
  t.deepEqual(scene.files(), before)
}
