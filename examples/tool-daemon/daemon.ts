// What stays warm between calls. It is started by client.ts, and ends when nobody has called for a while.
import { createServer } from 'node:net'
import { daemonize, type ListenTarget } from 'daemonic'
import { format } from './format.js'

// The socket is launch()'s.
const daemon = daemonize<{ main: ListenTarget }>()

// A client sends a text and ends its side; it gets a first line that says that this is an answer, and the result.
const server = createServer({ allowHalfOpen: true }, socket => {
  let source = ''
  socket.setEncoding('utf8')
  socket.on('data', piece => (source += piece))
  socket.on('end', () => socket.end(`formatted by ${process.pid}\n${format(source)}`))
  socket.on('error', () => socket.destroy()) // the client has gone
})
await daemon.serve(server, 'main')
