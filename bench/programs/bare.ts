// The server of daemon.ts without the library: says on descriptor 3 that it listens.
import { writeSync } from 'node:fs'
import { createServer } from 'node:http'

const server = createServer((_, response) => response.end('ok\n'))
server.listen(0, '127.0.0.1', () => writeSync(3, 'listening\n'))
