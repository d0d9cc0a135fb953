// Part of `npm run lint`: holds the direction of imports in src/, type-only ones included.
import { readdirSync, readFileSync } from 'node:fs'
import { join, posix } from 'node:path'
import { root } from './setup.js'

/**
 * The parts of src/ from the ground up: each imports from itself and from those before it. A part is a folder or, where
 * lower floors need one file of a higher folder, that file. '' are the public calls, which lie directly in src/.
 */
const PARTS = [
  ...['errors/', 'binding/', 'process/'],
  ...['options/values.ts', 'running/paths.ts', 'option-types.ts', 'pid-lock.ts', 'types.ts'],
  ...['options/', 'running/', 'daemon/', 'start/', 'command/', '', 'cli/'],
]
/**
 * The door from src/cli to the rest; no other file of the folder imports from outside it. The one exception is the table
 * of options: it is in a bundle of its own, for help, which must not load the native addon, so it takes data alone.
 */
const DOOR = 'cli/library.ts'
const PAST_THE_DOOR = { 'cli/option-table.ts': ['options/table.ts', 'command/option-parser.ts'] }

const files = readdirSync(join(root, 'src'), { recursive: true }).filter(file => file.endsWith('.ts'))
const imports = new Map(files.map(file => [file, importsOf(file)]))
const problems = [...files.flatMap(wrongImports), ...cycles()]
for (const problem of problems) console.error(problem)
process.exitCode = problems.length > 0 ? 1 : 0

function importsOf(file) {
  const source = readFileSync(join(root, 'src', file), 'utf8')
  const found = [...source.matchAll(/\b(?:from|import)\s*\(?\s*'(\.[^']+)'/g)]
  return found.map(([, path]) => posix.join(posix.dirname(file), path).replace(/\.js$/, '.ts'))
}

function wrongImports(file) {
  const isInside = path => path.startsWith('cli/')
  return imports.get(file).flatMap(path => {
    if (partOf(path) > partOf(file))
      return `src/${file} imports src/${path}, which lies above it (scripts/check-imports.js)`
    if (isInside(file) && !isInside(path) && file !== DOOR && !PAST_THE_DOOR[file]?.includes(path))
      return `src/${file} imports src/${path} past src/${DOOR}`
    return []
  })
}

/** The index of the part that names `file` most exactly. */
function partOf(file) {
  const matching = PARTS.filter(part => file === part || (part.endsWith('/') && file.startsWith(part)) || part === '')
  return PARTS.indexOf(matching.reduce((best, part) => (part.length > best.length ? part : best)))
}

/** Circles of imports, each as the path that leads back to its first file. */
function cycles() {
  const finished = new Set()
  const visit = (file, path) => {
    if (path.includes(file)) return [`a cycle of imports: ${[...path.slice(path.indexOf(file)), file].join(' → ')}`]
    if (finished.has(file)) return []
    const found = (imports.get(file) ?? []).flatMap(next => visit(next, [...path, file]))
    finished.add(file)
    return found
  }
  return files.flatMap(file => visit(file, []))
}
