// The C programs of bench/programs, compiled when a measurement needs them.
import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { World } from './world.js'

/** Compiles `bench/programs/NAME.c` into the world's directory, and returns the path of the program. */
export function compile(world: World, name: string): string {
  const source = fileURLToPath(new URL(`../../../bench/programs/${name}.c`, import.meta.url))
  const compiled = world.path(name)
  execFileSync('cc', ['-O2', '-Wall', '-o', compiled, source], { stdio: ['ignore', 'ignore', 'inherit'] })
  return compiled
}
