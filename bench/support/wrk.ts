// wrk(1), which asks as fast as it is answered.
import { execFileSync } from 'node:child_process'
import { debianProgram } from './fetched.js'
import type { World } from './world.js'

export type Wrk = (address: string, seconds: number) => number

const THREADS = 1
const CONNECTIONS = 64

/** Gives a function that asks for some seconds and tells the answers a second; `before` is a command that runs wrk. */
export function installWrk(world: World, before: readonly string[] = []): Wrk | null {
  const argv = debianProgram(world, 'wrk', ['libluajit-5.1-2'])
  if (argv === null) return null
  const [command = '', ...first] = [...before, ...argv]
  return (address, seconds) => {
    const args = [`-t${THREADS}`, `-c${CONNECTIONS}`, `-d${seconds}s`, `http://${address}/`]
    const text = execFileSync(command, [...first, ...args]).toString()
    const errors = /^\s*(Socket errors: .*|Non-2xx .*)$/m.exec(text)?.[1]
    if (errors !== undefined) throw new Error(`${address}: ${errors}`)
    return Number(/^Requests\/sec:\s+([\d.]+)$/m.exec(text)?.[1])
  }
}
