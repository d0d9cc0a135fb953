// Part of `npm run build:ts`: the bundles that are published, manual pages and completions.
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { build } from 'esbuild-wasm'
import { packageVersion, root } from './setup.js'

const dist = join(root, 'dist')

/**
 * Settings of all bundles. Launcher and daemon both parse the library at every start: without its whitespace each takes a
 * millisecond less. Names stay, so that stacks can be read; and lines are short, since Node prints the one that throws.
 */
const common = {
  absWorkingDir: root,
  bundle: true,
  platform: 'node',
  target: 'node20',
  logLevel: 'warning',
  minifyWhitespace: true,
  minifySyntax: true,
  lineLimit: 120,
  define: { PACKAGE_VERSION: JSON.stringify(packageVersion()) },
}

/**
 * Takes Node's own modules by process.getBuiltinModule(). An import statement reads every one of a module's exports, also those
 * that Node loads at their first use: for node:fs all streams, which takes longer than the rest of the library.
 */
const builtins = {
  name: 'builtins',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^node:/ }, ({ path }) => ({ path, namespace: 'builtin', sideEffects: false }))
    onLoad({ filter: /.*/, namespace: 'builtin' }, ({ path }) => ({
      contents: `export const { ${importedNames(path).join(', ')} } = process.getBuiltinModule('${path}')`,
    }))
  },
}

/** Lists what the library's sources import from a module by name. @param {string} path */
function importedNames(path) {
  const sources = readdirSync(join(root, 'src'), { recursive: true }).filter(name => /^(?!cli\/).*\.ts$/.test(name))
  const imports = sources.flatMap(name => [
    ...readFileSync(join(root, 'src', name), 'utf8').matchAll(new RegExp(`^import \\{([^}]*)\\} from '${path}'`, 'gm')),
  ])
  const words = imports.flatMap(([, list = '']) => list.split(',').map(word => word.trim()))
  const names = words.filter(word => word !== '' && !word.startsWith('type ')).map(word => word.replace(/ as .*/, ''))
  return [...new Set(names)]
}

/** Settings of the library. */
const library = { ...common, format: 'esm', plugins: [builtins] }

/**
 * Settings of the command. CommonJS loads faster than a module, by as much as a `stop` takes. It has no import.meta. Its names
 * are shortened, since only its own stacks show them, with -vv: half of the package is this.
 */
const command = {
  ...common,
  minifyIdentifiers: true,
  format: 'cjs',
  define: { ...common.define, 'import.meta.url': 'moduleUrl' },
  banner: { js: 'const moduleUrl = require("node:url").pathToFileURL(__filename).href' },
}

await Promise.all([
  build({ ...library, entryPoints: ['index.ts'], outfile: 'dist/index.js' }),
  build({ ...command, entryPoints: ['src/cli/main.ts'], outfile: 'dist/cli.cjs' }),
  ...['help', 'table', 'screen'].map(name =>
    build({ ...command, entryPoints: [`src/cli/${name}.ts`], outfile: `dist/cli-${name}.cjs` }),
  ),
])
chmodSync(join(dist, 'cli.cjs'), 0o755)

const { manualPages } = await import('../dist/src/cli/manual.js')
const { completionScript } = await import('../dist/src/cli/completion.js')
write('man', manualPages(packageVersion()))
write('completions', new Map(['bash', 'zsh', 'fish'].map(shell => [`daemonic.${shell}`, completionScript(shell)])))

/** Writes the files anew into a directory of dist. @param {string} directory @param {ReadonlyMap<string, string>} files */
function write(directory, files) {
  rmSync(join(dist, directory), { recursive: true, force: true })
  mkdirSync(join(dist, directory))
  for (const [name, text] of files) writeFileSync(join(dist, directory, name), text)
}
