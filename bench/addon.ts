// The addon: how large it is, and how long a fresh process takes to load it.
import { execFileSync } from 'node:child_process'
import { readdirSync, statSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { median, ms, verdict } from './support/numbers.js'
import { rounds } from './support/rounds.js'
import { printTable } from './support/table.js'
import { program } from './support/world.js'

const ROUNDS = 40
const LARGEST_KB = 600
const LONGEST_MS = 2

export async function measureAddon(count = ROUNDS): Promise<void> {
  const native = fileURLToPath(new URL('../../native/', import.meta.url))
  const name = readdirSync(native).find(file => file.includes(`${process.platform}-${process.arch}`))
  if (name === undefined) throw new Error(`no addon in ${native}`)
  const kilobytes = statSync(native + name).size / 1000
  const samples = await rounds(count, 0, () => ({
    addon: load('', native + name),
    empty: load(built('src/errors/classes.js'), program('empty')),
    loader: load(built('src/errors/classes.js'), built('src/binding/addon.js')),
    library: load('', 'daemonic'),
  }))
  const loading = (what: keyof (typeof samples)[number]) => median(samples.map(each => each[what]))
  // src/binding/addon.ts is part of the library's one file: finding and reading a file of its own is not what it costs.
  const loader = loading('loader') - loading('empty')
  printTable(
    `The addon, ${count} fresh processes each`,
    ['what', 'measured', 'target'],
    [
      ['size', `${kilobytes.toFixed(0)} KB`, `at most ${LARGEST_KB} KB: ${verdict(kilobytes <= LARGEST_KB)}`],
      ['loading it, by require()', ms(loading('addon'), 2), ''],
      ['importing src/binding/addon.ts, which loads it', ms(loading('loader'), 2), ''],
      ['importing an empty module', ms(loading('empty'), 2), ''],
      [
        'loading it, its loader included: the difference',
        ms(loader, 2),
        `at most ${LONGEST_MS} ms: ${verdict(loader <= LONGEST_MS)}`,
      ],
      ['importing the whole library', ms(loading('library'), 2), ''],
    ],
  )
}

function built(file: string): string {
  return fileURLToPath(new URL(`../${file}`, import.meta.url))
}

function load(before: string, module: string): number {
  return Number(execFileSync(process.execPath, [program('load'), before, module]).toString())
}
