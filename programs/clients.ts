// Clients that ask a program without pause, over connections that they keep, and note each question that got no answer.
import http2 from 'node:http2'
import { createRequire } from 'node:module'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Load } from '../bench/support/load.js'
import type { Protocol } from './table.js'

/** What clients have seen so far. */
export interface Asking {
  readonly answered: number
  readonly failures: readonly string[]
  /** Asks nothing more; resolves when what is in flight is answered. */
  stop(): Promise<unknown>
}

/** A connection on which one question is asked after the other. */
interface Line {
  /** Rejects with {@link Unasked} where the server had said that it takes no more questions. */
  ask(): Promise<void>
  close(): void
}

/** Says that the server closed the connection in the way of its protocol, before it took the question. */
class Unasked extends Error {}

const CLIENTS = 4
/** Milliseconds: who waits longer was forgotten. */
const PATIENCE = 5_000
/** Milliseconds between two tries to connect. */
const AGAIN = 10

/** Begins to ask the program that listens on the port of the loopback interface. */
export function ask(protocol: Protocol, port: number, directory: string): Asking {
  if (protocol === 'http') return new HttpLoad(port)
  const lines = { h2: () => h2(port), ws: () => ws(port, directory), redis: () => redis(port) }
  return new Clients(lines[protocol])
}

/** Over HTTP/1 half of the clients keep their connections, half need one for each request, and some ask for slow answers. */
class HttpLoad implements Asking {
  readonly #loads: readonly Load[]

  constructor(port: number) {
    const loads = [true, false].flatMap(keepAlive => ['/', '/?slow'].map(path => ({ keepAlive, path })))
    this.#loads = loads.map(each => new Load(`127.0.0.1:${port}`, { ...each, clients: CLIENTS / 2, answer: /hello/i }))
  }

  get answered(): number {
    return this.#loads.reduce((sum, each) => sum + each.answered, 0)
  }

  get failures(): readonly string[] {
    return this.#loads.flatMap(each => each.failures)
  }

  stop(): Promise<unknown> {
    return Promise.all(this.#loads.map(each => each.stop()))
  }
}

class Clients implements Asking {
  answered = 0
  readonly failures: string[] = []
  readonly #done: Promise<unknown>
  #stopping = false

  constructor(connect: () => Promise<Line>) {
    this.#done = Promise.all(Array.from({ length: CLIENTS }, () => this.#client(connect)))
  }

  stop(): Promise<unknown> {
    this.#stopping = true
    return this.#done
  }

  async #client(connect: () => Promise<Line>): Promise<void> {
    while (!this.#stopping) {
      const begin = performance.now()
      try {
        const line = await connect()
        try {
          while (!this.#stopping) {
            await line.ask()
            this.answered += 1
          }
        } finally {
          line.close()
        }
      } catch (error) {
        const { code, message } = error as NodeJS.ErrnoException
        const elapsed = (performance.now() - begin).toFixed(0)
        if (!(error instanceof Unasked)) this.failures.push(`${code ?? message} after ${elapsed} ms`)
        await delay(AGAIN)
      }
    }
  }
}

/** Rejects when the promise takes too long. */
async function patiently<T>(promise: Promise<T>): Promise<T> {
  const enough = new AbortController()
  const late = delay(PATIENCE, undefined, { signal: enough.signal }).then(() => {
    throw new Error('no answer')
  })
  late.catch(() => {})
  return Promise.race([promise, late]).finally(() => enough.abort())
}

async function h2(port: number): Promise<Line> {
  const session = http2.connect(`https://127.0.0.1:${port}`, { rejectUnauthorized: false })
  session.on('error', () => {}) // the stream has it, too
  await patiently(
    new Promise((resolve, reject) => session.once('connect', resolve).once('error', reject).once('close', reject)),
  )
  return {
    ask: () =>
      patiently(
        new Promise((resolve, reject) => {
          if (session.closed || session.destroyed) return reject(new Unasked())
          const stream = session.request()
          stream.resume().once('end', resolve)
          stream.once('error', error => reject(stream.rstCode === REFUSED ? new Unasked() : error))
        }),
      ),
    close: () => session.close(),
  }
}

const REFUSED = http2.constants.NGHTTP2_REFUSED_STREAM

/** The part of ws's client that is used here. */
interface WebSocketClient {
  once(event: string, listener: (...args: never[]) => void): this
  off(event: string, listener: (...args: never[]) => void): this
  send(text: string): void
  close(): void
}

async function ws(port: number, directory: string): Promise<Line> {
  const { WebSocket } = createRequire(join(directory, 'x.js'))('ws')
  const socket: WebSocketClient = new WebSocket(`ws://127.0.0.1:${port}`)
  let ended: Error | undefined
  let onEnd = (_: Error) => {}
  socket.once('close', (code: number) => {
    ended ??= code === GOING_AWAY ? new Unasked() : new Error(`closed with ${code}`)
    onEnd(ended)
  })
  socket.once('error', (error: Error) => {
    ended = error
  })
  const next = (event: string, action = () => {}) =>
    patiently(
      new Promise<void>((resolve, reject) => {
        if (ended) return reject(ended)
        onEnd = reject
        socket.once(event, () => resolve())
        action()
      }),
    )
  await next('open')
  return { ask: () => next('message', () => socket.send('hello')), close: () => socket.close() }
}

/** The code by which a server ends a WebSocket when it shuts down: RFC 6455, 7.4.1. */
const GOING_AWAY = 1001

async function redis(port: number): Promise<Line> {
  const socket: Socket = connect(port, '127.0.0.1')
  let onEnd = (_: Error) => {}
  let ended: Error | undefined
  socket.once('error', error => {
    ended = error
  })
  socket.once('close', () => onEnd(ended ?? new Error('closed')))
  const next = (event: string) =>
    patiently(
      new Promise<void>((resolve, reject) => {
        if (ended) return reject(ended)
        onEnd = reject
        socket.once(event, () => resolve())
      }),
    )
  await next('connect')
  return {
    ask() {
      socket.write('PING\r\n')
      return next('data')
    },
    close: () => socket.destroy(),
  }
}
