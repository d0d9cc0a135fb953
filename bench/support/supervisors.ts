// Who can run several copies of the server and replace one that ends: ours and others, behind one face.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { PidLock } from 'daemonic'
import { npmPackage, pythonProgram } from './fetched.js'
import { Marks } from './marks.js'
import { IN_BACKGROUND, program, type World } from './world.js'

export const PM2_VERSION = '7.0.4'
const SUPERVISORD = 'supervisor==4.3.0'
/** From the last worker's start until the supervisor is looked at, in milliseconds: it has done what it has to do. */
const SETTLE = 500

export interface Job {
  workers: number
  env?: NodeJS.ProcessEnv
}

export interface Running {
  /** The supervisor's. */
  pid: number
  address: string
  marks: Marks
  stop(): Promise<void>
}

export interface Supervisor {
  name: string
  start(job: Job): Promise<Running>
}

/** What the environment tells the programs that are to be compared. */
async function settingsOf(world: World, workers: number) {
  const marks = new Marks(world)
  const port = await freePort()
  return { marks, port, settings: { WORKERS: String(workers), PORT: String(port), MARKS: marks.path } }
}

export function ours(world: World, name = 'daemonic', more: NodeJS.ProcessEnv = {}): Supervisor {
  return {
    name,
    async start({ workers, env = {} }) {
      const { marks, port, settings } = await settingsOf(world, workers)
      await world.run(process.execPath, [program('workers')], { ...settings, ...more, ...env })
      await allServe(marks, workers)
      const { pid } = PidLock.inspect(world.pidFile)
      if (pid === null) throw new Error('daemonic: no pid')
      return { pid, address: `127.0.0.1:${port}`, marks, stop: () => world.stopDaemon() }
    },
  }
}

export function nodeCluster(world: World): Supervisor {
  return child(world, 'node:cluster', 'cluster')
}

export function oneProcess(world: World): Supervisor {
  return child(world, 'one process', 'plain')
}

/** A process of ours that stays in the foreground; its workers end with it. */
function child(world: World, name: string, script: string): Supervisor {
  return {
    name,
    async start({ workers, env = {} }) {
      const { marks, port, settings } = await settingsOf(world, workers)
      const process_ = spawn(process.execPath, [program(script)], {
        ...IN_BACKGROUND,
        env: world.environment({ ...settings, ...env }),
      })
      await allServe(marks, workers)
      return { pid: process_.pid ?? 0, address: `127.0.0.1:${port}`, marks, stop: () => ended(process_) }
    },
  }
}

/** pm2 in cluster mode, the mode that shares a socket, with a home of its own. */
export class Pm2 implements Supervisor, AsyncDisposable {
  readonly name = 'pm2'
  readonly command: string
  readonly env: NodeJS.ProcessEnv
  readonly #world: World

  private constructor(world: World, directory: string) {
    this.command = join(directory, 'node_modules/.bin/pm2')
    this.env = { PM2_HOME: world.path('pm2') }
    this.#world = world
  }

  static install(world: World): Pm2 | null {
    const directory = npmPackage(world, 'pm2', PM2_VERSION)
    return directory === null ? null : new Pm2(world, directory)
  }

  async run(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<void> {
    await this.#world.run(this.command, args, { ...this.env, ...env })
  }

  async start({ workers, env = {} }: Job): Promise<Running> {
    const marks = new Marks(this.#world)
    const port = await freePort()
    const settings = { PORT: String(port), MARKS: marks.path, ...env }
    // By default it gives up after 16 runs of less than a second.
    const options = ['--name', 'web', '-i', String(workers), '--max-restarts', '1000']
    await this.run(['start', program('plain'), ...options], settings)
    await allServe(marks, workers)
    const pid = Number(readFileSync(join(this.#world.path('pm2'), 'pm2.pid'), 'utf8'))
    return { pid, address: `127.0.0.1:${port}`, marks, stop: () => this.kill() }
  }

  /** Ends all that it runs, and its own daemon. */
  async kill(): Promise<void> {
    await this.run(['kill'])
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill()
  }
}

/** supervisord, whose programs can't share a port: each has its own. */
export function supervisord(world: World): Supervisor | null {
  const command = pythonProgram(world, 'supervisord', SUPERVISORD)
  if (command === null) return null
  return {
    name: 'supervisord',
    async start({ workers, env = {} }) {
      const marks = new Marks(world)
      const config = world.path('supervisord.conf')
      const lines = [
        '[supervisord]',
        'nodaemon=true',
        `logfile=${world.path('supervisord.log')}`,
        `pidfile=${world.path('supervisord.pid')}`,
        '[program:web]',
        `command=${process.execPath} ${env.SCRIPT ?? program('plain')}`,
        'process_name=%(process_num)d',
        `numprocs=${workers}`,
        'startsecs=0',
        'autorestart=true',
        `stdout_logfile=${env.LOG ?? '/dev/null'}`,
        'stdout_logfile_maxbytes=0',
        'redirect_stderr=true',
      ]
      writeFileSync(config, `${lines.join('\n')}\n`)
      const process_ = spawn(command, ['-c', config], {
        ...IN_BACKGROUND,
        env: world.environment({ PORT: '0', MARKS: marks.path, ...env }),
      })
      await allServe(marks, workers)
      return { pid: process_.pid ?? 0, address: '', marks, stop: () => ended(process_) }
    },
  }
}

async function allServe(marks: Marks, workers: number): Promise<void> {
  await marks.wait('serving', workers)
  await delay(SETTLE)
}

async function ended(process_: ChildProcess): Promise<void> {
  const end = once(process_, 'exit')
  process_.kill('SIGTERM')
  await end
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}
