// One HTTP server and nothing else.
import { createServer } from 'node:http'
import { daemonize } from 'daemonic'

const daemon = daemonize({
  name: 'bench',
  detach: true,
  pidFile: process.env.PID_FILE,
  listen: { http: '127.0.0.1:0' },
})
await daemon.serve(
  createServer((_, response) => response.end('ok\n')),
  'http',
)
