// Part of `npm run lint`: every file of this repository that the documentation names exists.
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
for (const line of missing) console.error(line)
process.exitCode = missing.length > 0 ? 1 : 0
