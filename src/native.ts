// The native addon: found, loaded, and its refusals turned into errors.
import { createRequire } from 'node:module'
import type * as Binding from '#native'
import { errorOf } from './errors.js'

const require = createRequire(import.meta.url)

export const native: typeof Binding = load()

/** The value of an answer; a refusal is thrown as the error that it stands for. */
export function checked<T>(answer: T | Binding.Refusal): T {
  if (isRefusal(answer)) throw errorOf(answer)
  return answer
}

/** For what answers nothing where it succeeds. */
export function done(refusal: Binding.Refusal | null): void {
  if (refusal) throw errorOf(refusal)
}

function isRefusal(answer: unknown): answer is Binding.Refusal {
  return typeof answer === 'object' && answer !== null && 'kind' in answer && REFUSALS.has(answer.kind)
}

const REFUSALS: ReadonlySet<unknown> = new Set(['system', 'running', 'blocked', 'not-running', 'unverified'])

/**
 * A short loader of our own: asking for the libc (process.report) takes longer than loading the addon. Where both could
 * be there, the wrong one fails to load and the other is tried.
 */
function load(): typeof Binding {
  const { platform, arch } = process
  const libcs = platform === 'linux' ? (arch === 'arm' ? ['-gnueabihf'] : ['-gnu', '-musl']) : ['']
  const failures: unknown[] = []
  for (const suffix of libcs) {
    const triple = `${platform}-${arch}${suffix}`
    // Our own build in a checkout, then the platform's package.
    for (const id of [`#addon/daemonic.${triple}.node`, `daemonic-${triple}`]) {
      try {
        return require(id)
      } catch (error) {
        failures.push(error)
      }
    }
  }
  throw new AggregateError(failures, `daemonic has no native addon for ${platform}-${arch} here: reinstall it`)
}
