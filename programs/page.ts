// docs/frameworks.md: its programs are those that are tried, and it has the table of what came out.
import { readFileSync, writeFileSync } from 'node:fs'
import type { Program } from './table.js'

// Compiled to dist/programs.
const PAGE = new URL('../../docs/frameworks.md', import.meta.url)
const BEGIN = '<!-- Made by `npm run programs`: run it again rather than change it here. -->'
const END = '<!-- End -->'

/** Gives the files of a program by name: its own, and those that the page shows under its name. */
export function filesOf({ name, files = {} }: Program): Map<string, string> {
  const sections = readFileSync(PAGE, 'utf8').split(/^## /m)
  const section = sections.find(each => each.startsWith(`${name}\n`)) ?? ''
  const shown = section.matchAll(/^```\w+\n(?:\/\/|#) (\S+)\n([\s\S]*?)^```$/gm)
  return new Map([...[...shown].map(([, file = '', text = '']) => [file, text] as const), ...Object.entries(files)])
}

/** Puts the table into the page. */
export function writeTable(table: string): void {
  const page = readFileSync(PAGE, 'utf8')
  const [from, to] = [page.indexOf(BEGIN), page.indexOf(END)]
  if (from < 0 || to < 0) throw new Error('docs/frameworks.md has no place for the table')
  writeFileSync(PAGE, `${page.slice(0, from)}${BEGIN}\n\n${table}\n\n${page.slice(to)}`)
}
