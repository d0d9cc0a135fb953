// The workers of node:cluster at a stop: they serve the daemon's sockets, and Node ends them the moment their primary exits.
import type { Worker } from 'node:cluster'
import { loadedCluster } from '../process/cluster.js'

/**
 * Has every worker of this primary close its servers, and resolves when all have exited: each does once its connections have
 * ended. The program hears no more of their ends, since many a program forks another worker then.
 */
export async function drainClusterWorkers(): Promise<void> {
  const workers = clusterWorkers()
  if (workers.length === 0) return
  const ends = workers.map(worker => new Promise(resolve => worker.process.once('exit', resolve)))
  for (const each of [loadedCluster(), ...workers]) each?.removeAllListeners('exit').removeAllListeners('disconnect')
  loadedCluster()?.disconnect()
  disconnected.push(...workers)
  await Promise.all(ends)
}

/** Kills the workers that are left; gives their number. */
export function killClusterWorkers(): number {
  return disconnected.filter(worker => worker.process.kill('SIGKILL')).length
}

/** Those that cluster no longer lists. */
const disconnected: Worker[] = []

function clusterWorkers(): Worker[] {
  return Object.values(loadedCluster()?.workers ?? {}).filter(worker => worker !== undefined)
}
