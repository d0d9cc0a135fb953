// The package's own files, found from wherever this module was bundled into.
import { existsSync } from 'node:fs'

/** A file that lies in this package and hardly in another one, to know it by. */
const MARK = 'native/binding.d.cts'

/**
 * Gives the URL of a file of this package, which need not exist; undefined where the library became part of another
 * bundle, which lies somewhere else.
 */
export function packageFile(path: string): URL | undefined {
  const own: string | undefined = import.meta.url
  // A bundle of CommonJS by somebody else has no import.meta.
  if (own === undefined) return undefined
  // Seen from dist/src/binding/ in a checkout's parts, from dist/ in the package's bundles.
  const root = new URL(own.endsWith('/src/binding/package-files.js') ? '../../../' : '../', own)
  return existsSync(new URL(MARK, root)) ? new URL(path, root) : undefined
}

/** What to do where the library became part of another bundle, as the end of a sentence. */
export const LEAVE_OUT =
  "leave daemonic out of the bundle (esbuild: --external:daemonic), as external: ['daemonic'] does, and install it where the " +
  'bundle runs'
