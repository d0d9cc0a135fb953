// What only help and tables need, in bundles of their own. By require(): import() starts Node's module loader first.
import { createRequire } from 'node:module'

interface Extras {
  help: typeof import('./help.js')
  table: typeof import('./table.js')
  screen: typeof import('./screen.js')
}

export function extra<K extends keyof Extras>(name: K): Extras[K] {
  return createRequire(import.meta.url)(`./cli-${name}.cjs`)
}
