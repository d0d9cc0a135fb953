// The server of every contender: it says who answers, and takes its time for /slow.
import { createServer, type Server } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'

/** Milliseconds. */
const SLOW = 500

export function createWeb(): Server {
  const text = `process ${process.pid}\n`
  return createServer(async ({ url }, response) => {
    if (url === '/slow') await delay(SLOW)
    response.end(text)
  })
}
