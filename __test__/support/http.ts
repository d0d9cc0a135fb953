// Asking a server of a test something.
import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { text } from 'node:stream/consumers'

/** All that is answered to a request at a path or a port of this machine. */
export async function answerOf(to: string | number): Promise<string> {
  const client = typeof to === 'string' ? connect(to) : connect(to, '127.0.0.1')
  client.write('GET / HTTP/1.0\r\n\r\n')
  return text(client)
}

/** A port that nothing listens on, for files that have to name one: the first from `lowest` on, or any. */
export async function freePort(lowest = 0): Promise<number> {
  const server = createServer()
  try {
    await once(server.listen(lowest, '127.0.0.1'), 'listening')
  } catch {
    return freePort(lowest + 1)
  }
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
