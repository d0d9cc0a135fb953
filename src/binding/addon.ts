// The native addon: its functions, loaded at the first use, and its refusals as errors.
import { dirname, join } from 'node:path'
import type * as Binding from '#native'
import { errorOf } from '../errors/classes.js'
import { type Addon, load } from './load.js'

let addon: Addon | undefined

function loaded(): Addon {
  if (addon === undefined) {
    addon = load()
    // Opened now, so that an upgrade of the package later changes nothing for this process. A daemon that is just being
    // started keeps no descriptor of the library's: it opens the file when it first starts something itself.
    if (process.env.DAEMONIC_START === undefined) addon.exports.keepExecutable(executableBeside(addon))
  }
  return addon
}

/**
 * The functions of the addon: native/binding.d.cts lists them. The first use loads it, so that the library can be imported
 * where there is none.
 * @throws DaemonError ERR_DAEMON_UNSUPPORTED at a use, where it can't be loaded
 */
export const native = new Proxy({} as typeof Binding, {
  get: (_, name) => Reflect.get(loaded().exports, name),
})

/** Gives the path of the native supervisor, which lies beside the addon. */
export function supervisorPath(): string {
  return executableBeside(loaded())
}

function executableBeside({ path }: Addon): string {
  return join(dirname(path), 'daemonic-supervisor')
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
