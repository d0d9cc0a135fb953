// Where one program runs in one way: its environment, the commands that act on it, and its processes.
import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { type AddressInfo, connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { status } from 'daemonic'
import type { Fetched } from './fetch.js'
import type { Program, Way } from './table.js'

const CLI = fileURLToPath(new URL('../cli.cjs', import.meta.url))
const LAUNCHES = fileURLToPath(new URL('launches.js', import.meta.url))
const SLOWLY = new URL('slowly.js', import.meta.url).href
/** Milliseconds: longer than every timeout of the command. */
const PATIENCE = 60_000
const LOOK_EVERY = 20
const NAME = 'trial'

/** How a command ended, and all that it printed. */
export interface Ended {
  code: number | null
  output: string
}

export class Scene implements AsyncDisposable {
  readonly #program: Program
  readonly #fetched: Fetched
  readonly #way: Way
  readonly #state = mkdtempSync(join(tmpdir(), 'daemonic-programs-'))
  readonly #mark = randomUUID()
  /** The pid file of the daemon. */
  readonly target = join(this.#state, 'run', `${NAME}.pid`)
  readonly log = join(this.#state, `${NAME}.log`)

  private constructor(
    program: Program,
    fetched: Fetched,
    way: Way,
    readonly port: number,
  ) {
    this.#program = program
    this.#fetched = fetched
    this.#way = way
  }

  static async of(program: Program, fetched: Fetched, way: Way): Promise<Scene> {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    await new Promise(resolve => server.close(resolve))
    return new Scene(program, fetched, way, port)
  }

  /** Starts the program, and resolves when whoever starts it says that it is ready, or has failed. */
  async start(): Promise<Ended> {
    if (this.#way === 'launch') return this.#run(LAUNCHES, this.#launching())
    const supervision = this.#way === 'workers' ? ['--workers', '2'] : ['--monitor']
    const options = ['--name', NAME, '--pid-file', this.target, '--stop-timeout', '10s', '--start-timeout', '20s']
    const words = [...options, ...supervision, ...this.#readiness(), ...this.#command()]
    if (this.#way !== 'run') return this.cli('start', ...words)
    const ended = this.#run(CLI, ['run', '--log', this.log, ...words])
    const ready = this.until('it is ready', async () => (await status(this.target)).state === 'running')
    return Promise.race([ended, ready.then(() => ({ code: 0, output: '' }))])
  }

  /** Runs `daemonic start` with these variables, and perhaps with another script: a start that fails. */
  startWith(env: Readonly<Record<string, string>>, script?: string): Promise<Ended> {
    const options = ['--name', NAME, '--pid-file', this.target, '--start-timeout', '5s']
    const command = script === undefined ? this.#command() : [script]
    return this.#run(CLI, ['start', ...options, ...this.#readiness(), ...command], env)
  }

  /** Runs the command `daemonic`. */
  cli(...words: readonly string[]): Promise<Ended> {
    return this.#run(CLI, words)
  }

  /** The processes that serve: the workers or, where nothing supervises it, the daemon. */
  async workers(): Promise<number[]> {
    const { workers } = await status(this.target)
    return workers.filter(({ ready }) => ready).map(({ pid }) => pid)
  }

  /** All processes that descend from what was started here, but the supervisor, whose title is where its environment was. */
  processes(): number[] {
    return readdirSync('/proc')
      .filter(entry => /^\d+$/.test(entry) && this.#isMarked(entry))
      .map(Number)
  }

  /** Whether the port takes connections. */
  isOpen(): Promise<boolean> {
    return new Promise(resolve => {
      const socket = connect(this.port, '127.0.0.1')
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
      socket.once('connect', () => socket.destroy())
    })
  }

  /** Waits until `condition` holds. @throws Error it did not in time */
  async until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
    for (const deadline = performance.now() + PATIENCE; !(await condition()); await delay(LOOK_EVERY)) {
      if (performance.now() > deadline) throw new Error(`waited ${PATIENCE} ms in vain until ${what}`)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.cli('stop', '--timeout', '1s', this.target)
    await this.until('no process is left', () => {
      const left = this.processes()
      for (const pid of left) {
        try {
          process.kill(pid, 'SIGKILL')
        } catch {
          // ended by itself
        }
      }
      return left.length === 0
    })
    rmSync(this.#state, { recursive: true, force: true })
  }

  #readiness(): string[] {
    const listen = ['--listen', `127.0.0.1:${this.port}`]
    return this.#program.ownPort ? ['--ready', 'port', ...listen] : listen
  }

  #command(): string[] {
    const words = this.#program.run(this.#fetched, this.port)
    return [...(this.#program.foreign ? ['--'] : []), ...words]
  }

  #launching(): string[] {
    const { foreign, ownPort, run } = this.#program
    const [program = '', ...args] = run(this.#fetched, this.port)
    const options = {
      ...{ name: NAME, pidFile: this.target, args, log: this.log, ifRunning: 'reuse', stopTimeout: 10_000 },
      ...(foreign ? { interpreter: null } : { interpreterArgs: this.#flags() }),
      ...(ownPort && { ready: 'port' }),
      listen: { http: `127.0.0.1:${this.port}` },
    }
    return [program, JSON.stringify(options)]
  }

  /** Flags of Node's for the program. */
  #flags(): string[] {
    return [...(this.#program.flags ?? []), '--import', SLOWLY]
  }

  #environment(env: Readonly<Record<string, string>>): NodeJS.ProcessEnv {
    return {
      ...process.env,
      ...{ PORT: String(this.port), DAEMONIC_RUNTIME_DIR: join(this.#state, 'run'), DAEMONIC_STATE_DIR: this.#state },
      ...{ DAEMONIC_TRIAL: this.#mark, NO_COLOR: '1', NODE_ENV: 'production' },
      ...(this.#way !== 'launch' && { NODE_OPTIONS: this.#flags().join(' ') }),
      ...env,
    }
  }

  async #run(script: string, words: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Ended> {
    const child = spawn(process.execPath, [script, ...words], {
      cwd: this.#fetched.directory,
      env: this.#environment(env),
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', text => (output += text))
    const [code] = await once(child, 'exit')
    return { code, output }
  }

  #isMarked(pid: string): boolean {
    try {
      return readFileSync(`/proc/${pid}/environ`, 'latin1').includes(`DAEMONIC_TRIAL=${this.#mark}`)
    } catch {
      return false // ended meanwhile
    }
  }
}
