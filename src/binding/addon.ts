// The native addon: finding and loading it, and throwing its refusals as errors.
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type * as Binding from '#native'
import { errorOf } from '../errors/classes.js'

/** The path that the addon was loaded from. */
let addonFile = ''

/** The functions of the addon: native/binding.d.cts lists them. */
export const native: typeof Binding = load()

/** Gives the path of the native supervisor, which lies beside the addon. */
export function supervisorPath(): string {
  return join(dirname(addonFile), 'daemonic-supervisor')
}

/**
 * Gives the value of the addon's answer, null where there is none to give.
 * @throws DaemonError the error that a refusal stands for
 */
export function checked<T>(answer: T | Binding.Refusal): T {
  if (isRefusal(answer)) throw errorOf(answer)
  return answer
}

function isRefusal(answer: unknown): answer is Binding.Refusal {
  return typeof answer === 'object' && answer !== null && 'kind' in answer && REFUSALS.has(answer.kind)
}

const REFUSALS: ReadonlySet<unknown> = new Set(['system', 'running', 'blocked', 'not-running', 'unverified'])

/**
 * Loads the addon of this platform. Neither process.report is asked which libc runs, nor is require() used: each takes
 * longer than loading the addon. Where there are two libcs, an addon for the wrong one fails to load: the other is tried.
 */
function load(): typeof Binding {
  const { platform, arch } = process
  const libcs = platform === 'linux' ? (arch === 'arm' ? ['-gnueabihf'] : ['-gnu', '-musl']) : ['']
  const failures: unknown[] = []
  for (const suffix of libcs) {
    try {
      const addon = { exports: {} as typeof Binding }
      addonFile = addonPath(`${platform}-${arch}${suffix}`)
      process.dlopen(addon, addonFile)
      addon.exports.keepExecutable(supervisorPath())
      return addon.exports
    } catch (error) {
      failures.push(error)
    }
  }
  throw new AggregateError(failures, `daemonic has no native addon for ${platform}-${arch} here: reinstall it`)
}

/** Finds the addon: in a checkout its own build, seen from dist/ or from dist/src/binding/; else the platform's package. */
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
