// `npm run test:install`: packs what is published, puts it into a registry on the loopback interface, and installs it from
// there with every package manager. With --short: this platform's package alone, as it is built here, and npm alone.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { root } from './root.js'
import { packageVersion, setup } from './setup.js'

const isShort = process.argv.includes('--short')
const packages = join(root, 'dist', isShort ? 'native-packages' : 'packages')
const tools = join(root, 'tools')

setup()
await installTools()
if (isShort) await run('node', ['scripts/pack-all.js', '--native'])
else await run('npm', ['run', '--silent', 'pack:all'])
await checkPackage(join(packages, `daemonic-${packageVersion()}.tgz`))
const registry = await startRegistry()
try {
  await publish(registry.url)
  const only = isShort ? ['--match', 'npm*'] : []
  await run('node_modules/.bin/ava', ['--config', 'install.config.js', ...only], {
    DAEMONIC_TEST_REGISTRY: registry.url,
    DAEMONIC_TEST_INSTALL: isShort ? 'short' : 'whole',
  })
} finally {
  registry.close()
}

/** A registry, checks of packages and the package managers, pinned by tools/package-lock.json. They run no scripts. */
async function installTools() {
  const installed = join(tools, 'node_modules/.package-lock.json')
  const isFresh =
    existsSync(installed) && statSync(installed).mtimeMs > statSync(join(tools, 'package-lock.json')).mtimeMs
  if (isFresh && (isShort || existsSync(join(tools, 'node_modules/pnpm')))) return
  console.error('test:install: installing its tools')
  const omitted = isShort ? ['--omit=optional'] : []
  await run('npm', [
    'ci',
    '--prefix',
    tools,
    '--ignore-scripts',
    '--no-audit',
    '--no-fund',
    '--loglevel=error',
    ...omitted,
  ])
}

/** What others say about a package's exports and types. */
async function checkPackage(archive) {
  await run(join(tools, 'node_modules/.bin/publint'), ['run', archive, '--strict'])
  // require() of a module is what Node does since 20.19, the oldest version that the library runs on.
  const ignored = ['--profile', 'node16', '--ignore-rules', 'cjs-resolves-to-esm']
  await run(join(tools, 'node_modules/.bin/attw'), [archive, '--format', 'ascii', ...ignored])
}

/** Starts verdaccio without an uplink: it knows only what is published here. */
async function startRegistry() {
  const storage = mkdtempSync(join(tmpdir(), 'daemonic-registry-'))
  const { runServer } = createRequire(join(tools, 'package.json'))('verdaccio')
  const app = await runServer({
    storage,
    self_path: storage,
    max_body_size: '100mb',
    auth: { htpasswd: { file: join(storage, 'htpasswd') } },
    uplinks: {},
    packages: { '**': { access: '$all', publish: '$all' } },
    logs: { type: 'file', path: join(storage, 'log'), level: 'warn' },
  })
  const server = app.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${server.address().port}/`,
    close() {
      server.closeAllConnections()
      server.close()
      rmSync(storage, { recursive: true, force: true })
    },
  }
}

/** The platforms' packages first: the library's is never there without them. */
async function publish(url) {
  const archives = readdirSync(packages).filter(name => name.endsWith('.tgz'))
  const isLibrary = name => name === `daemonic-${packageVersion()}.tgz`
  for (const archive of archives.sort((a, b) => Number(isLibrary(a)) - Number(isLibrary(b)))) {
    // npm wants to be somebody, the registry takes anybody.
    const nobody = `--${url.slice('http:'.length)}:_authToken=nobody`
    await run('npm', ['publish', join(packages, archive), '--registry', url, nobody, '--silent', '--ignore-scripts'])
  }
}

async function run(command, args, env = {}) {
  const child = spawn(command, args, {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  const [code, signal] = await once(child, 'exit')
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${code ?? signal}`)
}
