// Scripts in TypeScript: by Node.js itself where it can, else by tsx where that is installed.
import { basename, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { DaemonError, type StartOptions } from './library.js'

/** What runs nothing: the exit code of a shell for a file that can't be executed. */
const NOT_EXECUTABLE = 126

/**
 * Adds what Node.js needs to run a script in TypeScript, unless an interpreter or its arguments were given.
 * @throws DaemonError this Node.js can't run TypeScript, and tsx is not installed
 */
export function withTypeScript(script: string, options: StartOptions): StartOptions {
  const { interpreter, interpreterArgs } = options
  if (!/\.[cm]?tsx?$/.test(script) || interpreter !== undefined || interpreterArgs !== undefined) return options
  const args = /x$/.test(script) ? loaderOf(script) : (strippingFlags() ?? loaderOf(script))
  if (args === null) {
    throw new DaemonError(
      `${basename(script)} is TypeScript, which Node.js ${process.version} can't run: install tsx (npm install tsx), compile it, ` +
        'or use Node.js 22.18 or newer, which strips types (but runs no .tsx)',
      'ERR_DAEMON_START',
      NOT_EXECUTABLE,
    )
  }
  return args.length > 0 ? { ...options, interpreterArgs: [...process.execArgv, ...args] } : options
}

/** Returns the flags by which this Node.js strips types; null if it can't. */
function strippingFlags(): string[] | null {
  if ((process.features as { typescript?: string | false }).typescript) return []
  const flag = '--experimental-strip-types'
  return process.allowedNodeEnvironmentFlags.has(flag) ? [flag] : null
}

/** Returns the flags that load tsx, as it is installed beside the script; null if it isn't. */
function loaderOf(script: string): string[] | null {
  try {
    const { createRequire } = process.getBuiltinModule('node:module')
    return ['--import', pathToFileURL(createRequire(resolve(script)).resolve('tsx')).href]
  } catch {
    return null
  }
}
