// One test's world: a temporary directory, and every process that descends from it, found by a mark in its environment.
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import {
  chownSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay, setImmediate as immediate } from 'node:timers/promises'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { serialize } from 'node:v8'
import type { ExecutionContext } from 'ava'

/** Generous: machines are shared and noisy. Milliseconds. */
const DEADLINE = 60_000
const LOOK_EVERY = 10
/** How long the pipes of a process that has ended may take to be read. */
const DRAIN = 2_000

export interface Result {
  code: number | null
  signal: NodeJS.Signals | null
  stdout: string
  stderr: string
}

export interface RunOptions extends Pick<SpawnOptions, 'cwd' | 'stdio' | 'uid' | 'gid'> {
  env?: Record<string, string | undefined>
  /** Node's own flags. */
  execArgv?: readonly string[]
  args?: readonly string[]
  /** Detach although the test runner's process looks like a supervisor. @default 'true' */
  detach?: 'true' | 'false' | 'auto'
}

/** The compiled program of __test__/fixtures. */
export function fixture(name: string, ending: 'js' | 'cjs' = 'js'): string {
  return fileURLToPath(new URL(`../fixtures/${name}.${ending}`, import.meta.url))
}

/** A program of __test__/fixtures/foreign, in another language: it is not compiled. */
export function script(name: string): string {
  return fileURLToPath(new URL(`../../../__test__/fixtures/foreign/${name}`, import.meta.url))
}

/** A script and its arguments. */
export type Program = readonly [script: string, ...args: string[]]

type Given<P> = P extends (...given: infer G) => unknown ? G : never

/** The programs of a fixture file, whose type is given: by name, with what they take. */
export function programs<P extends object>(file: string) {
  return <K extends keyof P & string>(name: K, ...given: Given<P[K]>): Program => [
    fixture(file),
    name,
    ...given.map(each => serialize(each).toString('base64')),
  ]
}

type Perhaps<T> = T | undefined | null | false | '' | 0

export class Scene {
  readonly directory = mkdtempSync(join(tmpdir(), 'daemonic-test-'))
  readonly #mark = `DAEMONIC_TEST_SCENE=${randomUUID()}`

  constructor(t: ExecutionContext) {
    t.teardown(() => this.#end())
  }

  path(name: string): string {
    return join(this.directory, name)
  }

  read(name: string): string {
    return readFileSync(this.path(name), 'utf8')
  }

  /** Gives the path. */
  write(name: string, text: string): string {
    writeFileSync(this.path(name), text)
    return this.path(name)
  }

  /** A one-line script that is a program by another name, in a file of the test's own. */
  entry(name: string, [script, ...args]: Program): Program {
    return [this.write(name, `import '${pathToFileURL(script)}'\n`), ...args]
  }

  exists(name: string): boolean {
    return existsSync(this.path(name))
  }

  remove(name: string): void {
    rmSync(this.path(name), { recursive: true, force: true })
  }

  /** What lies in the directory, sorted. */
  files(name = ''): string[] {
    return readdirSync(this.path(name)).sort()
  }

  /** For processes of another user to work in: root alone can. */
  giveTo(uid: number, name = ''): void {
    chownSync(this.path(name), uid, uid)
  }

  /** The environment of everything that this test starts. */
  environment({ env = {}, detach = 'true' }: RunOptions = {}): NodeJS.ProcessEnv {
    const inherited = { ...process.env }
    // What the test runner's own supervisors set would be taken for ours.
    for (const name of ['NODE_TEST_CONTEXT', 'NODE_CHANNEL_FD', 'NOTIFY_SOCKET', 'NODE_V8_COVERAGE'])
      delete inherited[name]
    const [name = '', value = ''] = this.#mark.split('=')
    const detachment = detach === 'auto' ? {} : { DAEMONIC_DETACH: detach }
    // Root's own log directory is the system's.
    const directories = { XDG_STATE_HOME: this.directory, DAEMONIC_STATE_DIR: this.path('state') }
    const own = { ...directories, SCENE: this.directory, [name]: value }
    return { ...inherited, ...own, ...detachment, ...env }
  }

  /** Starts a program without waiting for it. */
  spawn(command: string, args: readonly string[], options: RunOptions = {}): ChildProcess {
    const { cwd = this.directory, stdio = ['ignore', 'pipe', 'pipe'], uid, gid } = options
    const ids = { ...(uid !== undefined && { uid }), ...(gid !== undefined && { gid }) }
    return spawn(command, args, { cwd, stdio, env: this.environment(options), ...ids })
  }

  /** Runs a program to its end. */
  async run(command: string, args: readonly string[], options: RunOptions = {}): Promise<Result> {
    return finished(this.spawn(command, args, options))
  }

  /** Runs a program, with plain node, to the launcher's end. */
  async node(program: string | Program, options: RunOptions = {}): Promise<Result> {
    const argv = typeof program === 'string' ? [program] : program
    return this.run(process.execPath, [...(options.execArgv ?? []), ...argv, ...(options.args ?? [])], options)
  }

  /** Starts a program, with plain node, without waiting for it. */
  spawnNode(program: Program, options: RunOptions = {}): ChildProcess {
    return this.spawn(process.execPath, [...(options.execArgv ?? []), ...program, ...(options.args ?? [])], options)
  }

  /** Runs a program by a shell's command, in which "$@" is node, the script and its arguments. */
  async by(shell: 'sh' | 'bash', command: string, program: Program, options: RunOptions = {}): Promise<Result> {
    return this.run(shell, ['-c', command, shell, process.execPath, ...program], options)
  }

  /** Every live process of this test, by pid: the launchers, middles, daemons and their children. */
  processes(): number[] {
    return readdirSync('/proc')
      .filter(entry => /^\d+$/.test(entry))
      .filter(pid => this.#isOurs(pid))
      .map(Number)
  }

  /** Waits until `condition` gives something, and returns that. A file that is there, but empty, is nothing yet. */
  async until<T>(what: string, condition: () => Perhaps<T> | Promise<Perhaps<T>>): Promise<T> {
    for (const deadline = Date.now() + DEADLINE; ; ) {
      const value = await condition()
      if (value) return value
      if (Date.now() > deadline) throw new Error(`waited ${DEADLINE} ms in vain until ${what}`)
      await delay(LOOK_EVERY)
    }
  }

  /** Waits until no process of this test is alive, nor holds a lock or a descriptor. */
  async empty(): Promise<void> {
    await this.until('all processes have ended', () => this.processes().length === 0 && !someProcessIsEnding())
  }

  #isOurs(pid: string): boolean {
    try {
      // Empty where a process is ending or has ended: it doesn't count.
      const isMarked = readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0').includes(this.#mark)
      return isMarked || this.#isOurSupervisor(pid)
    } catch {
      return false
    }
  }

  /** Its title is where its environment was; it is known by the files that it has open. */
  #isOurSupervisor(pid: string): boolean {
    if (!readlinkSync(`/proc/${pid}/exe`).includes('/daemonic-supervisor')) return false
    const isHere = (fd: string) => readlinkSync(`/proc/${pid}/fd/${fd}`).startsWith(`${this.directory}/`)
    return readdirSync(`/proc/${pid}/fd`).some(isHere)
  }

  async #end(): Promise<void> {
    // Again and again: a supervisor may start another before its own end.
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
    await this.empty()
    rmSync(this.directory, { recursive: true, force: true })
  }
}

export async function finished(child: ChildProcess): Promise<Result> {
  const result: Result = { code: null, signal: null, stdout: '', stderr: '' }
  child.stdout?.setEncoding('utf8').on('data', text => (result.stdout += text))
  child.stderr?.setEncoding('utf8').on('data', text => (result.stderr += text))
  const closed = once(child, 'close').catch(() => {}) // what can't be started rejects below
  const [code, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null]
  // Not for ever: a daemon that keeps a pipe open would never let that come. When the machine is so busy that the time is
  // over before the pipes were looked at, they are looked at now: the loop polls between two immediates.
  const drained = delay(DRAIN, undefined, { ref: false })
    .then(() => immediate())
    .then(() => immediate())
  await Promise.race([closed, drained])
  return { ...result, code, signal, stdout: result.stdout, stderr: result.stderr }
}

/**
 * Whether any process is on its way out: the kernel takes its environment, by which we know it, before its files and
 * locks. Those go with its last thread, which may come after the first has become a zombie, and may not even have begun
 * to exit by then. Foreign processes are waited for too.
 */
function someProcessIsEnding(): boolean {
  return readdirSync('/proc')
    .filter(entry => /^\d+$/.test(entry))
    .some(pid => {
      try {
        return isEnding(readFileSync(`/proc/${pid}/stat`, 'latin1'))
      } catch {
        return false
      }
    })
}

/** PF_EXITING of proc_pid_stat(5), and not yet a zombie without other threads. */
function isEnding(stat: string): boolean {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const [state = '', , , , , , flags] = fields
  const threads = Number(fields[17])
  return (Number(flags) & 4) !== 0 && !('ZX'.includes(state) && threads <= 1)
}
