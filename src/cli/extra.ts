// Help and tables are bundles of their own, loaded when they are needed. By require(): import() would start Node's module
// loader first.
import { createRequire } from 'node:module'

interface Extras {
  help: typeof import('./help.js')
  table: typeof import('./table.js')
  screen: typeof import('./screen.js')
}

/** Loads one of the bundles beside this one. */
export function extra<K extends keyof Extras>(name: K): Extras[K] {
  return createRequire(import.meta.url)(`./cli-${name}.cjs`)
}
