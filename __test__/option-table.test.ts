// One table of options: what the types, the command and the documentation say of them agrees with it.
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { runInNewContext } from 'node:vm'
import test from 'ava'
import { START_OPTIONS } from '../src/cli/option-table.js'
import { read } from '../src/cli/parse-value.js'
import { decidedBy, MONITOR_OPTIONS, OPTION_NAMES, OPTIONS } from '../src/options/table.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const text = (path: string) => readFileSync(`${root}/${path}`, 'utf8')

/** The options of the library and of its monitor, by name, with what the table says of each. */
const ROWS: Readonly<Record<string, { takesEffect?: unknown; default?: unknown; launchDefault?: unknown }>> = {
  ...OPTIONS,
  ...Object.fromEntries(Object.entries(MONITOR_OPTIONS).map(([key, row]) => [`monitor.${key}`, row])),
}

test('the tables of options in docs/ are those that `npm run docs` makes', t => {
  const { status, stderr } = spawnSync(process.execPath, [`${root}/scripts/docs.js`, '--check'], { encoding: 'utf8' })
  t.is(stderr, '')
  t.is(status, 0)
})

test('every option has a paragraph of its own in the types, whose @default is the table’s', t => {
  const source = text('src/option-types.ts')
  const monitor = source.indexOf('export interface MonitorOptions')
  for (const [option, row] of Object.entries(ROWS)) {
    const [name = '', part] = option.split('.')
    const place = part === undefined ? source : source.slice(monitor)
    const [, comment = ''] = new RegExp(`/\\*\\*((?:(?!\\*/)[^])*)\\*/\\n  ${part ?? name}\\?:`).exec(place) ?? []
    const otherwise = /@default (.*)/.exec(comment)?.[1]
    t.truthy(otherwise, `${option} has no @default`)
    if ('default' in row) t.deepEqual(runInNewContext(`(${otherwise})`, {}), row.default, option)
  }
})

test('the command’s defaults are those of launch()', t => {
  for (const option of START_OPTIONS) {
    const row = ROWS[option.api ?? '']
    const { kind = '', default: otherwise } = option
    if (row?.default === undefined || otherwise === undefined) continue
    if (!['duration', 'octal', 'ready', 'stream', 'choice'].includes(kind)) continue
    // `start` leaves a log unless told otherwise.
    if (option.name !== 'log') t.deepEqual(read(option, otherwise), row.launchDefault ?? row.default, option.name)
  }
})

test('no two options of the command have one name', t => {
  const names = START_OPTIONS.map(({ name }) => name)
  t.is(new Set(names).size, names.length)
})

test('the sections about options are in the order of the table', t => {
  const headings = [...text('docs/options.md').matchAll(/^## (.*)$/gm)].flatMap(([, heading = '']) =>
    heading.split(', '),
  )
  const about = headings.filter(heading => !['When what is set', 'Paths and targets', 'Stopping'].includes(heading))
  t.deepEqual(
    about,
    OPTION_NAMES.filter(name => about.includes(name)),
  )
})

test('docs/launch.md and docs/supervisor.md have a row for every option of their own', t => {
  t.deepEqual(rowsOf('docs/launch.md'), [...decidedBy('launch')])
  t.deepEqual(rowsOf('docs/supervisor.md'), Object.keys(MONITOR_OPTIONS))
})

/** The first cells of the first table of options in a document. */
function rowsOf(path: string): string[] {
  const [, table = ''] = /^\| option \| default \| \|\n\|---\|---\|---\|\n((?:\|.*\n)+)/m.exec(text(path)) ?? []
  return [...table.matchAll(/^\| `(\w+)` \|/gm)].map(([, name = '']) => name)
}
