// daemon.ts, which also notes the moments of its start.
import './mark.js' // first: it notes when code begins to run

import { createServer } from 'node:http'
import { daemonize } from 'daemonic'
import { mark } from './mark.js'

mark('call')
const daemon = daemonize({
  name: 'bench',
  detach: true,
  pidFile: process.env.PID_FILE,
  listen: { http: '127.0.0.1:0' },
})
mark('returned')
await daemon.serve(
  createServer((_, response) => response.end('ok\n')),
  'http',
)
mark('serving')
