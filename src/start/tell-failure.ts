// The service manager hears why a service has failed to start.
import { DaemonError, SystemCallError } from '../errors/classes.js'
import { serviceManager } from '../process/service-manager.js'

/** Tells the service manager of this process, if there is one, why it fails; throws the error again. */
export function failing(error: unknown): never {
  if (error instanceof DaemonError) {
    serviceManager()?.failed(error.message, error instanceof SystemCallError ? error.errno : undefined)
  }
  throw error
}
