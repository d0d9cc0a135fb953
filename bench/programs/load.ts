// Loads a module in a fresh process, and prints how many milliseconds that took. Arguments: what is loaded before, and
// not counted, and then the module itself.
import { createRequire } from 'node:module'

const [before = '', module = ''] = process.argv.slice(2)
const require = createRequire(import.meta.url)
if (before) await import(before)
const start = performance.now()
if (module.endsWith('.node')) require(module)
else await import(module)
const elapsed = performance.now() - start
console.log(elapsed)
