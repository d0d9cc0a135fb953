// Part of `npm run docs`: writes the tables of options in docs/, between their markers, from the sources.
// With --check it changes nothing, and fails where a table is out of date. Needs `npm run build:ts`.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { GROUPS, OUTPUT_OPTIONS, START_OPTIONS } from '../dist/src/cli/option-table.js'
import { DAEMONIZE_OPTIONS, FLAGS, OPTION_NAMES, OPTIONS } from '../dist/src/options/table.js'
import { root } from './setup.js'

/** How the phases and deciders of the table read in docs/options.md. */
const PHASES = { launcher: 'by the launcher', exec: 'before exec', call: 'at the call' }
const DECIDERS = {
  launch: 'the start',
  program: 'the call',
  start: 'the start',
  identity: 'the start for all four, if it gives one',
  supervision: 'the start for both, if it gives one',
  each: 'the start, then the call',
}

const tables = {
  'docs/daemonize.md': daemonizeTable,
  'docs/options.md': phaseTable,
  'docs/cli.md': commandTable,
}

const isCheck = process.argv.includes('--check')
let isStale = false
for (const [file, make] of Object.entries(tables)) {
  const path = join(root, file)
  const text = readFileSync(path, 'utf8')
  const fresh = text.replace(
    /(<!-- Made by `npm run docs`.*? -->\n)[\s\S]*?(\n<!-- End -->)/,
    (_, begin, end) => `${begin}\n${make()}${end}`,
  )
  if (fresh === text) continue
  isStale = true
  if (isCheck) console.error(`${file}: the table of options is out of date: npm run docs`)
  else writeFileSync(path, fresh)
}
process.exitCode = isCheck && isStale ? 1 : 0

/** The options of daemonize(): the first sentence of each, and its default. */
function daemonizeTable() {
  const documented = documentation()
  const rows = DAEMONIZE_OPTIONS.map(name => {
    const { summary, default: otherwise } = documented.get(name) ?? fail(`${name} has no TSDoc with a @default`)
    const isCode = 'default' in OPTIONS[name] && !otherwise.startsWith('`') && otherwise !== 'none'
    return [code(name), name === 'signals' ? 'see below' : isCode ? code(otherwise) : otherwise, summary]
  })
  return table(['option', 'default', ''], rows)
}

/** When each option takes effect, who decides on it, and what the command calls it. */
function phaseTable() {
  const rows = OPTION_NAMES.map(name => {
    const { takesEffect, decidedBy } = OPTIONS[name]
    const flag = FLAGS[name]
    const phases = takesEffect.map(phase => PHASES[phase]).join(', ')
    return [code(name), phases, DECIDERS[decidedBy], flag === null ? '' : code(`--${flag.name}`)]
  })
  return table(['option', 'takes effect', 'decided by', 'command'], rows)
}

/** The options of `daemonic start`, in the groups of its help. */
function commandTable() {
  const options = GROUPS.flatMap(group => [...START_OPTIONS, ...OUTPUT_OPTIONS].filter(each => each.group === group))
  const rows = options.map(({ name, short, value, help, default: otherwise = '' }) => {
    const long = value === undefined ? `--${name}` : `--${name} ${value}`
    return [short === undefined ? code(long) : `${code(`-${short}`)}, ${code(long)}`, otherwise, help]
  })
  return table(['option', 'default', ''], rows)
}

/** The first sentence and the @default of every option, as src/option-types.ts documents them. */
function documentation() {
  const source = readFileSync(join(root, 'src/option-types.ts'), 'utf8')
  const found = new Map()
  for (const [, comment, name] of source.matchAll(/\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\n\s*(\w+)\?:/g)) {
    const text = comment
      .replaceAll(/\n\s*\*/g, ' ')
      .replaceAll(/\s+/g, ' ')
      .replaceAll(/\{@link (\S+)\}/g, '`$1`')
    const [, summary, otherwise] = /^ (.*?)\.(?: .*)?@default (.*?) ?$/.exec(text) ?? []
    // launch() has a `ready` of its own, behind daemonize()'s.
    if (summary !== undefined && !found.has(name)) found.set(name, { summary: lowerCase(summary), default: otherwise })
  }
  return found
}

function table(heads, rows) {
  const line = cells => `| ${cells.map(cell => cell.replaceAll('|', '\\|')).join(' | ')} |\n`.replaceAll('|  |', '| |')
  return `${line(heads)}${heads.map(() => '|---').join('')}|\n${rows.map(line).join('')}`
}

function code(text) {
  return `\`${text}\``
}

/** A cell begins in lower case, unless it begins with a name. */
function lowerCase(text) {
  return /^[A-Z][a-z]* /.test(text) && !/^(Node|POSIX) /.test(text) ? text[0].toLowerCase() + text.slice(1) : text
}

function fail(message) {
  throw new Error(message)
}
