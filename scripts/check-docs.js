// Part of `npm run lint`: every file of this repository that the documentation names exists, and every test that
// docs/coming-from.md names as the one that runs a row, and every message that docs/failure-modes.md quotes.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { root } from './setup.js'

const pages = ['README.md', 'CONTRIBUTING.md', ...readdirSync(join(root, 'docs')).map(name => `docs/${name}`)]
/** A path in backticks, from the root of the repository. */
const PATH = /`((?:src|crates|scripts|__test__|bench|examples|faults|docs)\/[^\s`*{]*|[\w-]+\.ts)`/g
/** The target of a link that is no URL; it starts at the page's directory. */
const LINK = /\]\(([^)#:]+)(?:#[^)]*)?\)/g

const missing = pages.flatMap(page => {
  const text = readFileSync(join(root, page), 'utf8')
  const named = [...text.matchAll(PATH)].map(([, path]) => path)
  const linked = [...text.matchAll(LINK)].map(([, path]) => join(dirname(page), path))
  return [...named, ...linked]
    .filter(path => !existsSync(join(root, path)))
    .map(path => `${page} names ${path}, which does not exist`)
})
const problems = [...missing, ...untested('docs/coming-from.md'), ...unsaid('docs/failure-modes.md')]
for (const line of problems) console.error(line)
process.exitCode = problems.length > 0 ? 1 : 0

/** The rows of a page's tables whose last cell names no test, or one that does not exist. */
function untested(page) {
  const rows = readFileSync(join(root, page), 'utf8').matchAll(/^\| (?!-|.* test \|$)(.*) \|$/gm)
  return [...rows].flatMap(([, row]) => {
    const named = [
      ...row
        .split(' | ')
        .at(-1)
        .matchAll(/\[((?:[^[\]]|\[[^\]]*\])+)\]\(([^)]+\.test\.ts)\)/g),
    ]
    const what = row.split(' | ')[0]
    if (named.length === 0) return [`${page}: no test is named for the row ${what}`]
    return named
      .filter(([, title, path]) => !titlesOf(join(root, dirname(page), path)).some(each => each.test(title)))
      .map(([, title, path]) => `${page} names the test '${title}', which is not in ${path}`)
  })
}

/** The titles of a file's tests, as patterns: what stands in `${}` may be anything. */
function titlesOf(path) {
  if (!existsSync(path)) return []
  const calls = readFileSync(path, 'utf8').matchAll(/\b(?:test|as[A-Z]\w*)(?:\.\w+)?\(\s*(['"`])((?:\\.|(?!\1).)*)\1/g)
  return [...calls].map(([, , title]) => {
    const words = title.replaceAll(/\\(.)/g, '$1').split(/\$\{[^}]*\}+/)
    const pattern = words.map(text => text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('.*')
    return new RegExp(`^${pattern}$`)
  })
}

/** The messages that the first cell of a page's rows quotes, and that no source has. */
function unsaid(page) {
  const sources = ['src', 'crates'].flatMap(directory =>
    readdirSync(join(root, directory), { recursive: true }).map(file => join(root, directory, file)),
  )
  const texts = sources.filter(file => /\.(ts|rs)$/.test(file)).map(file => readFileSync(file, 'utf8'))
  const quoted = [...readFileSync(join(root, page), 'utf8').matchAll(/^\| [^|]*?“([^”]+)”/gm)].map(([, words]) => words)
  return quoted
    .filter(words => !texts.some(text => text.includes(words)))
    .map(words => `${page} quotes “${words}”, which no source says`)
}
