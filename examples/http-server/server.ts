// A web server that runs in the background: `npm start` here, `npm stop` to end it.
import { createServer } from 'node:http'
import { daemonize } from 'daemonic'

const log = process.env.LOG ?? '/tmp/daemonic-http-server.log'

const daemon = daemonize({
  name: 'http-server',
  chdir: '/',
  umask: 0o022,
  stdout: log,
  stderr: log,
  pidFile: process.env.PID_FILE ?? '/tmp/daemonic-http-server.pid',
  listen: { http: process.env.LISTEN ?? '127.0.0.1:8080' },
})

const server = createServer((request, response) => {
  console.log(`${request.method} ${request.url}`)
  response.setHeader('content-type', 'text/plain; charset=utf-8')
  response.end(`Hello from process ${daemon.pid}\n`)
})

daemon.onStop(signal => console.log(`stopped by ${signal}`))
await daemon.serve(server, 'http')
daemon.setStatus(`listening on ${daemon.sockets.http.address}`)
