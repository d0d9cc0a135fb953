// A minimal server in this process, as MODE says: bare, served by a daemon, or by one that watches its idleness. It prints
// its port.
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { daemonize } from 'daemonic'

const server = createServer((_, response) => response.end('ok\n'))
if (process.env.MODE === 'bare') await once(server.listen(0, '127.0.0.1'), 'listening')
else {
  const daemon = daemonize({
    detach: false,
    listen: { http: '127.0.0.1:0' },
    idleTimeout: process.env.MODE === 'idle' ? 30_000 : undefined,
  })
  await daemon.serve(server, 'http')
}
console.log((server.address() as AddressInfo).port)
