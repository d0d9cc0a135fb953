// The version of this copy of the library: a process may have several.

/** Set in the bundles that are published: scripts/bundle.js. */
declare const PACKAGE_VERSION: string | undefined

/** The package's version. */
export const VERSION = typeof PACKAGE_VERSION === 'string' ? PACKAGE_VERSION : '0.0.0'

/** Names this copy and another one, of which the version is known or, before copies told it, is not. */
export function bothVersions(other: string | undefined): string {
  return `by daemonic ${other ?? 'of an older version'}, and this program's own is ${VERSION}`
}
