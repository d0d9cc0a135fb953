// examples/prefork: five workers that are reloaded under load, and that end with what they have begun.
import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import { connect, type Socket } from 'node:net'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import test, { type ExecutionContext } from 'ava'
import { reload, status, stop } from 'daemonic'
import { Load } from '../bench/support/load.js'
import { portOf } from './support/listening.js'
import { Scene } from './support/scene.js'

const SERVER = fileURLToPath(new URL('../examples/prefork/server.js', import.meta.url))
const WORKERS = 5
const RELOADS = 3
/** Of each kind, before and after every reload: some of the slow ones are in flight whenever workers change. */
const ANSWERS = 8
/** Milliseconds: long enough that a signal comes in between. */
const GOODBYE_AFTER = 1_500

test('it is reloaded under load without a failed request', async t => {
  const { scene, pid, http } = await started(t)
  const loads = [
    new Load(http, { clients: 4, keepAlive: true }),
    new Load(http, { clients: 4, keepAlive: false }),
    new Load(http, { clients: 4, keepAlive: true, path: '/slow' }),
    new Load(http, { clients: 4, keepAlive: false, path: '/slow' }),
  ]
  const moreAnswers = async () => {
    const wanted = loads.map(({ answered }) => answered + ANSWERS)
    await scene.until('more is answered', () => loads.every(({ answered }, each) => answered >= (wanted[each] ?? 0)))
  }
  await moreAnswers()
  for (let each = 0; each < RELOADS; each++) {
    await reload(scene.path('d.pid'))
    await moreAnswers()
  }
  for (const load of loads) {
    const { failures, sent, answered, races } = await load.stop()
    t.deepEqual(failures, [])
    t.is(answered + races, sent)
  }
  t.deepEqual(new Set(loads.flatMap(({ races }) => races)), new Set([0]), 'idle connections are closed after a grace')
  t.is((await status(scene.path('d.pid'))).pid, pid)
})

/** Who gets which signal while work is in flight; a copy that comes at once counts with the first. */
const ENDS: readonly (readonly [
  what: string,
  signal: NodeJS.Signals,
  targets: (pid: number, workers: number[]) => number[],
])[] = [
  ['INT to the supervisor', 'SIGINT', pid => [pid]],
  ['INT to the whole group', 'SIGINT', pid => [-pid]],
  ['INT to every pid', 'SIGINT', (pid, workers) => [...workers, pid]],
  ['QUIT to the whole group', 'SIGQUIT', pid => [-pid]],
  ['TERM to the whole group, twice at once', 'SIGTERM', pid => [-pid, -pid]],
]

for (const [what, signal, targets] of ENDS) {
  test(`who said hello says goodbye, though ${what} came in between`, async t => {
    const { scene, pid, workers, lines } = await started(t)
    const clients = Array.from({ length: 2 * WORKERS }, () => new LineClient(lines))
    const hellos = await Promise.all(clients.map(client => client.line()))
    for (const each of targets(pid, workers)) process.kill(each, signal)
    const goodbyes = await Promise.all(clients.map(client => client.line()))

    t.deepEqual(
      goodbyes,
      hellos.map(hello => hello.replace('Hello', 'Goodbye')),
    )
    for (const hello of hellos) {
      const who = Number(/^Hello from process (\d+)$/.exec(hello)?.[1])
      t.true(workers.includes(who), `${hello}: a worker, of ${workers}`)
    }
    await scene.until('the supervisor has ended', () => !scene.exists('d.pid'))
    await scene.empty()
    t.deepEqual(
      scene.files().filter(file => /\.(pid|json|sock)$/.test(file)),
      [],
    )
    t.notRegex(scene.read('d.log'), /still stopping|while stopping|SIGKILL/)
  })
}

test('a stream of events ends with a whole answer when its worker is rolled over', async t => {
  const { scene, http } = await started(t)
  const [response] = (await once(get(`http://${http}/events`), 'response')) as [IncomingMessage]
  const body = text(response)
  await reload(scene.path('d.pid'))
  t.regex(await body, /^event: hello\n.*\nretry: 0\nevent: goodbye\n/s)
  t.true(response.complete)
})

interface Started {
  scene: Scene
  pid: number
  workers: number[]
  http: string
  lines: string
}

async function started(t: ExecutionContext): Promise<Started> {
  const scene = new Scene(t)
  // The supervisor first: it would replace the workers that the scene ends.
  t.teardown(() => stop(scene.path('d.pid'), { signal: 'SIGKILL' }))
  const { code, stderr } = await scene.node(SERVER, {
    env: {
      LISTEN: '127.0.0.1:0',
      LINES: '127.0.0.1:0',
      LOG: scene.path('d.log'),
      PID_FILE: scene.path('d.pid'),
      WORKERS: String(WORKERS),
      GOODBYE_AFTER: String(GOODBYE_AFTER),
    },
  })
  const { pid, addresses } = await status(scene.path('d.pid'))
  const workers = await workersOf(scene)
  const { http, lines } = addresses
  if (pid === null || http === undefined || lines === undefined || workers.length !== WORKERS)
    throw new Error(`the launcher ended with ${code}, ${workers.length} workers: ${stderr}`)
  return { scene, pid, workers, http, lines }
}

async function workersOf(scene: Scene): Promise<number[]> {
  const { workers } = await status(scene.path('d.pid'))
  return workers.map(({ pid }) => pid)
}

class LineClient {
  readonly #socket: Socket
  readonly #lines: AsyncIterator<string>

  constructor(address: string) {
    this.#socket = connect(portOf(address), '127.0.0.1')
    this.#lines = createInterface({ input: this.#socket })[Symbol.asyncIterator]()
  }

  async line(): Promise<string> {
    const { value } = await this.#lines.next()
    return value ?? ''
  }
}
