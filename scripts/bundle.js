// Part of `npm run build:ts`: the bundles that are published, manual pages and completions.
import { chmodSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { build } from 'esbuild-wasm'
import { packageVersion, root } from './setup.js'

const dist = join(root, 'dist')

/** Settings of all bundles. */
const common = {
  absWorkingDir: root,
  bundle: true,
  platform: 'node',
  target: 'node20',
  logLevel: 'warning',
  define: { PACKAGE_VERSION: JSON.stringify(packageVersion()) },
}

/**
 * Settings of the library. Launcher and daemon both parse it at every start: without its whitespace each takes a millisecond
 * less. Names stay, so that stacks can be read; and lines are short, since Node prints the one that throws.
 */
const library = {
  ...common,
  format: 'esm',
  packages: 'external',
  minifyWhitespace: true,
  minifySyntax: true,
  lineLimit: 120,
}

/** Settings of the command. CommonJS loads faster than a module, by as much as a `stop` takes. It has no import.meta. */
const command = {
  ...common,
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
