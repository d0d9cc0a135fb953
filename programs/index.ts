// `npm run programs`: programs as people write them, fetched, started in each way, and reloaded, killed and stopped under load.
// With --short: those that CI runs, in two ways, which change no page. Names of programs as arguments: these alone.
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { type Fetched, fetched } from './fetch.js'
import { writeTable } from './page.js'
import { DEEDS, PROGRAMS, type Program, WAYS, type Way } from './table.js'
import { type Finding, type Findings, trial } from './trial.js'

/** With the supervisor, and without it. */
const SHORT_WAYS: readonly Way[] = ['start', 'launch']

const words = process.argv.slice(2)
const isShort = words.includes('--short')
const names = words.filter(each => !each.startsWith('-'))
const unknown = names.filter(name => !PROGRAMS.some(program => program.name === name))
if (unknown.length > 0) {
  console.error(`unknown: ${unknown.join(', ')}; there are ${PROGRAMS.map(({ name }) => name).join(', ')}`)
  process.exit(2)
}

const rows: string[][] = []
let failures = 0
for (const program of PROGRAMS) {
  if (names.length > 0 ? !names.includes(program.name) : isShort && !program.short) continue
  const there = had(program)
  if (!there) continue
  for (const way of isShort ? SHORT_WAYS : (program.ways ?? WAYS)) {
    const findings = await trial(program, there, way)
    rows.push([program.name, way, ...['start', ...DEEDS, 'prompt'].map(key => shown(program.name, way, key, findings))])
  }
}
const [heading, line] = [['program', 'way', 'start', ...DEEDS, 'told at the prompt'], Array(7).fill('---')]
const table = [heading, line, ...rows].map(row => `| ${row.join(' | ')} |`).join('\n')
if (!isShort && names.length === 0 && failures === 0) writeTable(table)
console.log(`\n${table}\n\n${failures} findings differ from what is expected`)
process.exitCode = failures > 0 ? 1 : 0

/** Fetches the program; null where that can't be done, which is a failure where the program has to be there. */
function had(program: Program): Fetched | null {
  try {
    return fetched(program)
  } catch (error) {
    const { message, stderr } = error as Error & { stderr?: Buffer }
    const isFailure = program.required === true && isRootOnDebian()
    if (isFailure) failures += 1
    console.log(`${isFailure ? 'FAILED' : 'left out'}: ${program.name}: ${String(stderr ?? '').trim() || message}`)
    return null
  }
}

function shown(name: string, way: string, key: string, findings: Findings): string {
  const found: Finding | undefined = findings[key as keyof Findings]
  if (!found) return ''
  const { text, isExpected } = found
  if (!isExpected) failures += 1
  console.log(`${isExpected ? 'ok' : 'FAILED'}: ${name}, ${way}, ${key}: ${text}`)
  return text.replaceAll('|', '\\|')
}

function isRootOnDebian(): boolean {
  const { status } = spawnSync('apt-get', ['--version'], { stdio: 'ignore' })
  return (
    status === 0 && process.getuid?.() === 0 && /^ID(_LIKE)?=.*debian/m.test(readFileSync('/etc/os-release', 'utf8'))
  )
}
