// Other packages that lock or write pid files: installed outside this package, for one measurement.
import { execFileSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { leftOut, npmPackage } from './fetched.js'
import type { World } from './world.js'

export const PEERS = {
  'proper-lockfile': '4.1.2',
  'fs-ext': '2.1.1',
  npid: '0.4.0',
  pidlock: '0.1.0',
} as const

export type PeerName = keyof typeof PEERS

/** Installs each, and says which can't be had; returns the directories of those that can be loaded. */
export function installPeers(world: World): Map<PeerName, string> {
  const directories = new Map<PeerName, string>()
  for (const name of Object.keys(PEERS) as PeerName[]) {
    const directory = npmPackage(world, name, PEERS[name])
    if (directory !== null && canBeLoaded(directory, name)) directories.set(name, directory)
  }
  return directories
}

/** The module of an installed peer. */
export function loadPeer(directory: string, name: PeerName): unknown {
  return createRequire(join(directory, 'node_modules', name, 'package.json'))(name)
}

/** Tried in another process: a peer may hook this one's exit. */
function canBeLoaded(directory: string, name: string): boolean {
  const load = 'createRequire(process.argv[1])(process.argv[2])'
  const program = `import { createRequire } from 'node:module'; ${load}`
  const module = join(directory, 'node_modules', name, 'package.json')
  try {
    execFileSync(process.execPath, ['--input-type=module', '-e', program, module, name], { stdio: 'pipe' })
    return true
  } catch (error) {
    leftOut(name, error)
    return false
  }
}
