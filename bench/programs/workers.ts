// $WORKERS copies of the server on $PORT under the supervisor. With DRAIN=no they end as a program does that doesn't know
// how: at once. With REUSE_PORT each has a socket of its own.
import { once } from 'node:events'
import { daemonize } from 'daemonic'
import { createWeb } from '../support/web.js'
import { mark } from './mark.js'

const isDrained = process.env.DRAIN !== 'no'

const daemon = daemonize({
  name: 'workers',
  detach: true,
  pidFile: process.env.PID_FILE,
  log: process.env.LOG ?? 'ignore',
  workers: Number(process.env.WORKERS),
  monitor: { steadyAfter: 1 }, // each end is the first: what is measured is the restart, not the pause before it
  listen: {
    http: { host: '127.0.0.1', port: Number(process.env.PORT ?? 0), reusePort: process.env.REUSE_PORT === 'yes' },
  },
  ready: isDrained ? 'auto' : 'manual',
})
const server = createWeb()
if (isDrained) {
  await daemon.serve(server, 'http')
} else {
  await once(server.listen(daemon.sockets.http), 'listening')
  daemon.onStop(() => process.exit(0))
  daemon.ready()
}
mark('serving')
