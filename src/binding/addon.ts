// The native addon: found, loaded, and its refusals turned into errors.
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type * as Binding from '#native'
import { errorOf } from '../errors/classes.js'

/** The addon's file. */
let loaded = ''

export const native: typeof Binding = load()

/** The native supervisor: it lies beside the addon. */
export function supervisorPath(): string {
  return join(dirname(loaded), 'daemonic-supervisor')
}

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
 * A short loader of our own: asking for the libc (process.report), and require() with its resolution, each take longer
 * than loading the addon. Where two libcs could be meant, the wrong one fails to load and the other is tried.
 */
function load(): typeof Binding {
  const { platform, arch } = process
  const libcs = platform === 'linux' ? (arch === 'arm' ? ['-gnueabihf'] : ['-gnu', '-musl']) : ['']
  const failures: unknown[] = []
  for (const suffix of libcs) {
    try {
      const addon = { exports: {} as typeof Binding }
      loaded = addonPath(`${platform}-${arch}${suffix}`)
      process.dlopen(addon, loaded)
      return addon.exports
    } catch (error) {
      failures.push(error)
    }
  }
  throw new AggregateError(failures, `daemonic has no native addon for ${platform}-${arch} here: reinstall it`)
}

/** Our own build in a checkout (seen from the bundle, or from its parts), else the platform's package. */
function addonPath(triple: string): string {
  const file = `native/daemonic.${triple}.node`
  const built = ['..', '../../..'].map(up => fileURLToPath(new URL(`${up}/${file}`, import.meta.url))).find(existsSync)
  return (
    built ??
    process
      .getBuiltinModule('node:module')
      .createRequire(import.meta.url)
      .resolve(`daemonic-${triple}`)
  )
}
