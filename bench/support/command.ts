// The command `daemonic` of this checkout.
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** An argv to begin with. */
export function daemonic(): string[] {
  const { bin } = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'))
  return [process.execPath, fileURLToPath(new URL(`../../../${bin.daemonic}`, import.meta.url))]
}
