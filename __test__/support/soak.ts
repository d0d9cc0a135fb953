// Contenders for one pid file, killed at random moments: nothing that they leave may ever be wrong.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { PidLock } from 'daemonic'

export interface SoakOptions {
  /** Where the pid file and the log lie. */
  directory: string
  kills: number
  contenders?: number
  /** Starts `node` with these arguments. @default child_process.spawn */
  start?: (args: string[]) => ChildProcess
}

export interface SoakResult {
  kills: number
  /** How many of the killed had the file just then. */
  holdersKilled: number
  acquisitions: number
  /** What was wrong; empty if all is well. */
  faults: string[]
}

/** Longest life of a contender once it contends, milliseconds. */
const LIFE = 40

const start = (args: string[]) => spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })

/** Kills contenders at random until `kills` are dead, looks at the file each time, and reads what they have logged. */
export async function soak(options: SoakOptions): Promise<SoakResult> {
  const soaking = new Soak({ contenders: 4, start, ...options })
  try {
    await soaking.run()
  } finally {
    await soaking.end()
  }
  return soaking.result()
}

class Soak {
  readonly #options: Required<SoakOptions>
  readonly #file: string
  readonly #log: string
  readonly #contenders: ChildProcess[] = []
  readonly #pids = new Set<number | null>()
  readonly #faults: string[] = []
  #kills = 0

  constructor(options: Required<SoakOptions>) {
    this.#options = options
    this.#file = join(options.directory, 'soak.pid')
    this.#log = join(options.directory, 'soak.log')
    writeFileSync(this.#log, '')
  }

  async run(): Promise<void> {
    const { contenders, kills } = this.#options
    await Promise.all(Array.from({ length: contenders }, () => this.#add()))
    while (this.#kills < kills) {
      await delay(Math.random() * LIFE)
      this.#look()
      const [victim] = this.#contenders.splice(Math.floor(Math.random() * this.#contenders.length), 1)
      if (victim) await this.#kill(victim)
      this.#look()
      await this.#add()
    }
  }

  async end(): Promise<void> {
    for (const contender of this.#contenders.splice(0)) await this.#kill(contender)
  }

  result(): SoakResult {
    const lines = readFileSync(this.#log, 'utf8').trimEnd().split('\n')
    const faults = [...this.#faults, ...lines.filter(line => line.startsWith('!')), ...overlaps(lines), ...this.#rest()]
    const acquisitions = lines.filter(line => line.startsWith('+')).length
    const holdersKilled = acquisitions - lines.filter(line => line.startsWith('-')).length
    return { kills: this.#kills, holdersKilled, acquisitions, faults }
  }

  async #add(): Promise<void> {
    const program = fileURLToPath(new URL('../fixtures/contender.js', import.meta.url))
    const contender = this.#options.start([program, this.#file, this.#log])
    this.#contenders.push(contender)
    this.#pids.add(contender.pid ?? null)
    const [first] = await Promise.race([
      once(contender.stdout as NodeJS.ReadableStream, 'data'),
      once(contender, 'exit'),
    ])
    if (String(first) !== 'contending\n') this.#faults.push(`a contender ended by itself: ${first}`)
  }

  async #kill(contender: ChildProcess): Promise<void> {
    if (contender.exitCode !== null || contender.signalCode !== null) {
      this.#faults.push(`a contender ended by itself: ${contender.exitCode ?? contender.signalCode}`)
      return
    }
    const ended = once(contender, 'exit')
    contender.kill('SIGKILL')
    this.#kills += 1
    await ended
  }

  /** A reader is never told of an owner that isn't a contender, nor of a half-written pid. */
  #look(): void {
    const { state, pid } = PidLock.inspect(this.#file)
    if (pid !== null && !this.#pids.has(pid)) this.#faults.push(`inspect says ${state}, pid ${pid}: no contender`)
  }

  /** When all are dead. */
  #rest(): string[] {
    const { state } = PidLock.inspect(this.#file)
    if (state !== 'free' && state !== 'absent') return [`at the end the file is ${state}`]
    PidLock.acquire(this.#file).release()
    rmSync(this.#log)
    return []
  }
}

/** Two that had the file at once: one said that it releases it after another said that it has it. */
function overlaps(lines: readonly string[]): string[] {
  const faults: string[] = []
  let holder: string | null = null
  for (const [index, line] of lines.entries()) {
    const [mark, pid = ''] = line.split(' ')
    if (mark === '+') holder = pid
    if (mark === '-' && pid !== holder) faults.push(`line ${index + 1}: ${line}, while ${holder} had it`)
    if (mark === '-') holder = null
  }
  return faults
}
