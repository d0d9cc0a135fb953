// node:cluster, whose workers run the same program as their primary: a daemon comes before them, or has `workers` of its own.
import type { Cluster } from 'node:cluster'
import { DaemonError } from '../errors/classes.js'

/** What a call of daemonize() would do. */
interface Intent {
  /** Start the program again, and end this process. */
  startsAgain: boolean
  /** Take what only one process can have: a pid file, sockets. */
  takesOwn: boolean
}

/**
 * Refuses to become a daemon in a worker of node:cluster, where each would want the same pid file and sockets, and in a
 * primary that has workers already: those would end with the launcher.
 * @throws DaemonError ERR_DAEMON_UNSUPPORTED
 */
export function requireOutsideCluster({ startsAgain, takesOwn }: Intent): void {
  const { isWorker = false, workers = {} } = loadedCluster() ?? {}
  if (isWorker && (startsAgain || takesOwn)) {
    throw unsupported(
      'daemonize() was called in a worker of node:cluster: call it in the primary, before cluster.fork(), or leave ' +
        'cluster out, for the `workers` option',
    )
  }
  if (startsAgain && Object.keys(workers).length > 0) {
    throw unsupported(
      'daemonize() was called after cluster.fork(): call it before, so that the workers are those of the daemon',
    )
  }
}

/** Gives node:cluster where the program or Node has loaded it, which takes milliseconds. Other runtimes don't tell. */
export function loadedCluster(): Cluster | null {
  const { moduleLoadList } = process as { moduleLoadList?: readonly string[] }
  if (moduleLoadList && !moduleLoadList.includes('NativeModule cluster')) return null
  // The types describe the module as `import` gives it.
  return process.getBuiltinModule('node:cluster') as unknown as Cluster
}

function unsupported(message: string): DaemonError {
  return new DaemonError(message, 'ERR_DAEMON_UNSUPPORTED')
}
