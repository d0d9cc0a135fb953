// Where a measurement runs: a temporary directory, the programs, and the daemons that it starts and ends.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { stop } from 'daemonic'

/** The compiled program of bench/programs. */
export function program(name: string): string {
  return fileURLToPath(new URL(`../programs/${name}.js`, import.meta.url))
}

/**
 * For what is compared with a daemon: a session of its own. The kernel divides processors between sessions first
 * (autogroups, sched(7)): one that shares ours would share its part with who asks it.
 */
export const IN_BACKGROUND = { stdio: 'ignore', detached: true } as const

export class World implements AsyncDisposable {
  readonly directory = mkdtempSync(join(tmpdir(), 'daemonic-bench-'))
  readonly pidFile = this.path('bench.pid')

  path(name: string): string {
    return join(this.directory, name)
  }

  environment(more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
    return { ...process.env, PID_FILE: this.pidFile, ...more }
  }

  /** Runs a command to its end, its output thrown away; throws unless it ends with 0. */
  async run(command: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<void> {
    const child = spawn(command, args, { stdio: 'ignore', env: this.environment(env) })
    const [code, signal] = await once(child, 'exit')
    if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${code ?? signal}`)
  }

  /** Ends the daemon that is running, if one is. */
  async stopDaemon(): Promise<void> {
    await stop(this.pidFile, { signal: 'SIGKILL' })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stopDaemon()
    rmSync(this.directory, { recursive: true, force: true })
  }
}
