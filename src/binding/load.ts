// Loading the native addon: a build of this checkout, else the package of this platform.
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type * as Binding from '#native'
import { noAddon } from './no-addon.js'
import { packageFile } from './package-files.js'

export interface Addon {
  exports: typeof Binding
  /** The file that it was loaded from. The executable lies beside it. */
  path: string
}

/**
 * Loads the addon of this platform. Neither process.report is asked which libc runs, nor is require() used: each takes
 * longer than loading the addon. Where there are two libcs, an addon for the wrong one fails to load: the other is tried.
 * @throws DaemonError ERR_DAEMON_UNSUPPORTED: why there is no addon, and what to install
 */
export function load(): Addon {
  const failures: unknown[] = []
  for (const name of candidates()) {
    try {
      const path = addonPath(name)
      const addon = { exports: {} as typeof Binding }
      process.dlopen(addon, path)
      return { exports: addon.exports, path }
    } catch (error) {
      failures.push(error)
    }
  }
  throw noAddon(failures)
}

/** Lists what the addon of this platform may be called; nothing where there can't be one. */
function candidates(): string[] {
  const { platform, arch } = process
  if (platform === 'win32') return []
  if (platform !== 'linux') return [`${platform}-${arch}`]
  return arch === 'arm' ? ['linux-arm-gnueabihf'] : [`linux-${arch}-gnu`, `linux-${arch}-musl`]
}

function addonPath(name: string): string {
  const built = packageFile(`native/daemonic.${name}.node`)
  if (built && existsSync(built)) return fileURLToPath(built)
  return process
    .getBuiltinModule('node:module')
    .createRequire(import.meta.url)
    .resolve(`daemonic-${name}/daemonic.${name}.node`)
}
