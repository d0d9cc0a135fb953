// Whether something else already supervises this process: then it must not detach.
import { native } from './binding/addon.js'
import { OptionError } from './errors/classes.js'
import { inspectorUrl } from './process/inspector.js'
import { isStartedBySystemd, serviceManager } from './process/service-manager.js'

/** What already supervises this process, or is attached to it. docs/options.md says how each is recognised. */
export type DetachContext = 'init' | 'inetd' | 'systemd' | 'container' | 'launchd' | 'ipc' | 'debugger'

/** Tells what keeps `detach: 'auto'` from detaching here; null where nothing does: a terminal, a shell, a cron job. */
export function detachContext(): DetachContext | null {
  const facts = native.contextFacts()
  const { env } = process
  if (serviceManager() !== null || isStartedBySystemd()) return 'systemd'
  if (facts.oneSocketForStdio) return 'inetd'
  if (facts.ledByFirstProcess) return 'container'
  if (env.XPC_SERVICE_NAME && env.XPC_SERVICE_NAME !== '0' && facts.childOfFirstProcess) return 'launchd'
  // An orphan of a shell's `&` has pid 1 as its parent too, but neither leads its session nor is it led by pid 1.
  if (facts.childOfFirstProcess && !facts.hasTerminal && facts.leadsSession) return 'init'
  if (process.channel || env.NODE_TEST_CONTEXT || env.WATCH_REPORT_DEPENDENCIES) return 'ipc'
  if (inspectorUrl() !== undefined) return 'debugger'
  return null
}

/**
 * Decides what the `detach` option means here: DAEMONIC_DETACH stands in for 'auto'.
 * @throws OptionError DAEMONIC_DETACH is neither true nor false
 * @internal
 */
export function shallDetach(detach: boolean | 'auto'): boolean {
  if (detach !== 'auto') return detach
  switch (process.env.DAEMONIC_DETACH) {
    case 'true':
      return true
    case 'false':
      return false
    case '':
    case undefined:
      return detachContext() === null
    default:
      throw new OptionError('DAEMONIC_DETACH', 'Expected the environment variable DAEMONIC_DETACH to be true or false')
  }
}
