// Other packages that lock or write pid files: installed outside this package, for one measurement.
import { execFileSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import type { World } from './world.js'

export const PEERS = {
  'proper-lockfile': '4.1.2',
  'fs-ext': '2.1.1',
  npid: '0.4.0',
  pidlock: '0.1.0',
} as const

export type PeerName = keyof typeof PEERS

/** Milliseconds for one installation: fs-ext is compiled. */
const INSTALL_TIMEOUT = 180_000

/** Installs each, and says which can't be had; returns the directory of those that can be loaded. */
export function installPeers(world: World): { directory: string; installed: PeerName[] } {
  const directory = world.path('peers')
  mkdirSync(directory)
  const installed = (Object.keys(PEERS) as PeerName[]).filter(name => install(directory, name))
  return { directory, installed }
}

/** The module of an installed peer. */
export function loadPeer(directory: string, name: PeerName): unknown {
  return createRequire(join(directory, name, 'node_modules', name, 'package.json'))(name)
}

function install(directory: string, name: PeerName): boolean {
  const prefix = join(directory, name)
  mkdirSync(prefix)
  try {
    const wanted = `${name}@${PEERS[name]}`
    execFileSync('npm', ['install', '--no-save', '--no-audit', '--no-fund', '--prefix', prefix, wanted], {
      cwd: prefix,
      stdio: ['ignore', 'ignore', 'pipe'],
      timeout: INSTALL_TIMEOUT,
    })
    // In another process: a peer may hook this one's exit.
    const load = 'createRequire(process.argv[1])(process.argv[2])'
    const program = `import { createRequire } from 'node:module'; ${load}`
    const module = join(prefix, 'node_modules', name, 'package.json')
    execFileSync(process.execPath, ['--input-type=module', '-e', program, module, name], { stdio: 'pipe' })
    return true
  } catch (error) {
    const { stderr, message } = error as Error & { stderr?: Buffer }
    const why = String(stderr ?? '').trim() || message
    console.log(`\n${name} is left out: it can't be installed or loaded.\n${why.split('\n').slice(-5).join('\n')}`)
    return false
  }
}
