// Requests to an HTTP server, from many clients at a time, each answer checked: what failed, and who answered.
import { Agent, type ClientRequest, get, type IncomingMessage } from 'node:http'
import { text } from 'node:stream/consumers'

export interface LoadOptions {
  /** How many ask at a time; each asks again as soon as it has its answer. */
  clients: number
  /** Whether a connection is used for more than one request. */
  keepAlive: boolean
  /** @default '/' */
  path?: string
  /** How many requests in all. @default until stop() */
  requests?: number
  /** What an answer's text has. @default the pid of the process that gave it, as its first number */
  answer?: RegExp
}

/**
 * A kept-alive connection that closes while a request is on its way is a race that HTTP/1.1 leaves to the client (RFC 9112,
 * 9.5). It shows at once: what breaks later than this after it was sent, in milliseconds, had been taken, and failed.
 */
const RACE_WINDOW = 50
/** Milliseconds: who waits longer was forgotten. */
const PATIENCE = 5_000

export class Load {
  sent = 0
  answered = 0
  races = 0
  /** Why each failed. */
  readonly failures: string[] = []
  /** Answers by the process that gave them: the first number in their text. */
  readonly answeredBy = new Map<number, number>()
  readonly #url: string
  /** Without one, every request has a connection of its own. */
  readonly #agent: Agent | false
  readonly #most: number
  readonly #answer: RegExp
  readonly #done: Promise<unknown>
  #stopping = false

  /** Starts at once. */
  constructor(address: string, { clients, keepAlive, path = '/', requests = Infinity, answer = /\d+/ }: LoadOptions) {
    this.#answer = answer
    this.#url = `http://${address}${path}`
    this.#agent = keepAlive && new Agent({ keepAlive, maxSockets: clients })
    this.#most = requests
    this.#done = Promise.all(Array.from({ length: clients }, () => this.#client()))
  }

  /** Resolves when all is answered that was asked for in `requests`. */
  async end(): Promise<this> {
    await this.#done
    if (this.#agent) this.#agent.destroy()
    return this
  }

  /** Asks nothing more; resolves when what is in flight is answered. */
  stop(): Promise<this> {
    this.#stopping = true
    return this.end()
  }

  async #client(): Promise<void> {
    while (!this.#stopping && this.sent < this.#most) {
      this.sent += 1
      await this.#ask()
    }
  }

  async #ask(): Promise<void> {
    const began = performance.now()
    const request = get(this.#url, { agent: this.#agent, timeout: PATIENCE })
    request.once('timeout', () => request.destroy(new Error('no answer')))
    let response: IncomingMessage | undefined
    try {
      response = await answerTo(request)
      const body = await text(response)
      if (response.statusCode !== 200) throw new Error(`status ${response.statusCode}`)
      const [found] = this.#answer.exec(body) ?? []
      if (found === undefined) throw new Error(`not ${this.#answer}: '${body}'`)
      this.answered += 1
      const pid = Number(found)
      this.answeredBy.set(pid, (this.answeredBy.get(pid) ?? 0) + 1)
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException
      const elapsed = performance.now() - began
      const isReset = response === undefined && (code === 'ECONNRESET' || code === 'EPIPE')
      if (isReset && request.reusedSocket && elapsed < RACE_WINDOW) this.races += 1
      else this.failures.push(`${code ?? message} after ${elapsed.toFixed(0)} ms${response ? ', in the answer' : ''}`)
    }
  }
}

function answerTo(request: ClientRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => request.once('response', resolve).once('error', reject))
}
