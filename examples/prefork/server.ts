// Five workers that share two sockets: web pages, slow ones and a stream; and lines, said by one process from hello to
// goodbye. README.md beside it shows what to try.
import { createServer as createWebServer, type ServerResponse } from 'node:http'
import { createServer as createLineServer } from 'node:net'
import { setTimeout as delay, setInterval as every } from 'node:timers/promises'
import { daemonize } from 'daemonic'

/** Milliseconds. */
const SLOW = 500
const EVENT_EVERY = 1_000
const GOODBYE_AFTER = Number(process.env.GOODBYE_AFTER ?? 10_000)

const daemon = daemonize({
  name: 'prefork',
  workers: Number(process.env.WORKERS ?? 5),
  log: process.env.LOG ?? '/tmp/daemonic-prefork.log',
  pidFile: process.env.PID_FILE ?? '/tmp/daemonic-prefork.pid',
  listen: { http: process.env.LISTEN ?? '127.0.0.1:8080', lines: process.env.LINES ?? '127.0.0.1:8081' },
})
const me = `process ${daemon.pid}`

const web = createWebServer(async ({ url }, response) => {
  if (url === '/events') return stream(response)
  if (url === '/slow') await delay(SLOW)
  response.setHeader('content-type', 'text/plain; charset=utf-8')
  response.end(`Hello from ${me}, worker ${daemon.worker}\n`)
})

// Half-open: who has said all may still hear the goodbye.
const lines = createLineServer({ allowHalfOpen: true }, async socket => {
  const gone = new AbortController()
  socket.on('error', () => {}) // a client that is gone needs no answer; 'close' follows
  socket.once('close', () => gone.abort())
  socket.resume().write(`Hello from ${me}\n`)
  await delay(GOODBYE_AFTER, undefined, { signal: gone.signal }).then(
    () => socket.end(`Goodbye from ${me}\n`),
    () => {},
  )
})

await Promise.all([daemon.serve(web, 'http'), daemon.serve(lines, 'lines')])
console.log(`${me} serves ${daemon.sockets.http.address} and ${daemon.sockets.lines.address}`)

/** Server-sent events until the client goes or the daemon stops: a stream has no end of its own that one could wait for. */
async function stream(response: ServerResponse): Promise<void> {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
  const gone = new AbortController()
  response.once('close', () => gone.abort())
  const send = (event: string) => response.write(`event: ${event}\ndata: ${me}\n\n`)
  send('hello')
  try {
    const signal = AbortSignal.any([gone.signal, daemon.stopping])
    for await (const _ of every(EVENT_EVERY, undefined, { signal })) send('tick')
  } catch {
    // one of the two; a browser asks again at once, and another worker answers
    response.end('retry: 0\nevent: goodbye\ndata: \n\n')
  }
}
