// A copy of this checkout, in which its scripts can be run without touching it.
import { type SpawnSyncReturns, spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { fileURLToPath } from 'node:url'
import type { Scene } from './scene.js'

// Compiled to dist/__test__/support.
export const ROOT = fileURLToPath(new URL('../../..', import.meta.url))
/** The names of the platform packages, without what all begin with. */
export const PLATFORMS = readdirSync(`${ROOT}/npm`).sort()

/** A PATH with what the scripts need and without cargo; and a registry that isn't there. */
export function withoutCargo(scene: Scene): NodeJS.ProcessEnv {
  mkdirSync(scene.path('bin'), { recursive: true })
  for (const command of ['node', 'npm', 'sh', 'tar', 'gzip', 'env']) {
    const found = spawnSync('which', [command], { encoding: 'utf8' }).stdout.trim()
    if (!existsSync(scene.path(`bin/${command}`))) symlinkSync(found, scene.path(`bin/${command}`))
  }
  return { PATH: scene.path('bin'), npm_config_registry: 'http://127.0.0.1:1/', npm_config_fetch_retries: '0' }
}

/** Copies the checkout, with links to what its scripts only read. */
export function copyOfCheckout(scene: Scene): string {
  const copy = scene.path('checkout')
  mkdirSync(copy)
  const copied = new Set(['npm', 'native', 'scripts', 'package.json', 'Cargo.toml'])
  for (const name of readdirSync(ROOT)) {
    if (['.git', 'dist', 'target', 'node_modules'].includes(name)) continue
    if (copied.has(name)) cpSync(`${ROOT}/${name}`, `${copy}/${name}`, { recursive: true, filter: isCommitted })
    else symlinkSync(`${ROOT}/${name}`, `${copy}/${name}`)
  }
  for (const directory of ['dist', 'node_modules']) {
    mkdirSync(`${copy}/${directory}`)
    for (const name of readdirSync(`${ROOT}/${directory}`)) {
      if (!name.endsWith('packages')) symlinkSync(`${ROOT}/${directory}/${name}`, `${copy}/${directory}/${name}`)
    }
  }
  // A file of the copy's own, and new: setup has nothing to install there. If it had, npm would remove links alone.
  rmSync(`${copy}/node_modules/.package-lock.json`)
  cpSync(`${ROOT}/node_modules/.package-lock.json`, `${copy}/node_modules/.package-lock.json`)
  return copy
}

function isCommitted(path: string): boolean {
  return !/(\.node|\/daemonic-supervisor|\/source)$/.test(path)
}

/** Puts an executable without this machine's paths in the place of every binary that `npm run build:all` builds. */
export async function pretendBuilt(copy: string): Promise<void> {
  const { sourceHash } = await import(`${copy}/scripts/targets.js`)
  let text = readFileSync(`${ROOT}/native/daemonic-supervisor`, 'latin1')
  for (const path of [ROOT, homedir()]) text = text.replaceAll(path, 'x'.repeat(path.length))
  for (const name of PLATFORMS) {
    for (const file of [`daemonic.${name}.node`, 'daemonic-supervisor']) {
      writeFileSync(`${copy}/npm/${name}/${file}`, text, { encoding: 'latin1', mode: 0o755 })
    }
    writeFileSync(`${copy}/npm/${name}/source`, `${sourceHash()}\n`)
  }
}

/** Runs a script of the copy. */
export function runScript(copy: string, script: string, env: NodeJS.ProcessEnv = {}): SpawnSyncReturns<string> {
  const options = { cwd: copy, encoding: 'utf8', env: { ...process.env, ...env } } as const
  return spawnSync(process.execPath, [`${copy}/scripts/${script}`], options)
}
