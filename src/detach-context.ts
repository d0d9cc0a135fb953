// Whether something else already supervises this process: then it must not detach.

import { native } from './binding/addon.js'
import { OptionError } from './errors/classes.js'

export type DetachContext = 'terminal' | 'init' | 'inetd' | 'systemd' | 'container' | 'launchd' | 'ipc' | 'debugger'

/** Why `detach: 'auto'` would or would not detach here: it detaches in 'terminal' alone. */
export function detachContext(): DetachContext {
  const facts = native.contextFacts()
  const { env } = process
  if (managerAddress() !== null || isSystemd(env)) return 'systemd'
  if (facts.oneSocketForStdio) return 'inetd'
  if (facts.ledByFirstProcess) return 'container'
  if (env.XPC_SERVICE_NAME && env.XPC_SERVICE_NAME !== '0' && facts.childOfFirstProcess) return 'launchd'
  // An orphan of a shell's `&` has pid 1 as its parent too, but neither leads its session nor is it led by pid 1.
  if (facts.childOfFirstProcess && !facts.hasTerminal && facts.leadsSession) return 'init'
  if (process.channel || env.NODE_TEST_CONTEXT || env.WATCH_REPORT_DEPENDENCIES) return 'ipc'
  if (inspectorUrl() !== undefined) return 'debugger'
  return 'terminal'
}

/** What `detach` means here: DAEMONIC_DETACH stands in for 'auto'. */
export function shallDetach(detach: boolean | 'auto'): boolean {
  if (detach !== 'auto') return detach
  switch (process.env.DAEMONIC_DETACH) {
    case 'true':
      return true
    case 'false':
      return false
    case '':
    case undefined:
      return detachContext() === 'terminal'
    default:
      throw new OptionError('DAEMONIC_DETACH', 'Expected the environment variable DAEMONIC_DETACH to be true or false')
  }
}

/** The address of the service manager that listens to us; null if NOTIFY_SOCKET is unset or meant for an ancestor. */
export function managerAddress(): string | null {
  const { NOTIFY_SOCKET, SYSTEMD_EXEC_PID } = process.env
  const isOurs = SYSTEMD_EXEC_PID === undefined || SYSTEMD_EXEC_PID === String(process.pid)
  return NOTIFY_SOCKET && isOurs ? NOTIFY_SOCKET : null
}

/** Closes the inspector's port, so that the daemon can have it. */
export function closeInspector(): void {
  if (inspectorUrl() !== undefined) inspector().close()
}

function isSystemd(env: NodeJS.ProcessEnv): boolean {
  const ours = String(process.pid)
  const { JOURNAL_STREAM } = env
  return (
    env.SYSTEMD_EXEC_PID === ours ||
    env.LISTEN_PID === ours ||
    (JOURNAL_STREAM !== undefined && [1, 2].some(fd => native.isJournalStream(fd, JOURNAL_STREAM)))
  )
}

/** Loading the inspector takes longer than the rest of the call: it is asked only where it may be open. */
function inspectorUrl(): string | undefined {
  const { execArgv, env } = process
  const { moduleLoadList } = process as { moduleLoadList?: string[] }
  const isLoaded = moduleLoadList?.includes('NativeModule inspector') ?? true
  const isAskedFor = [...execArgv, env.NODE_OPTIONS ?? ''].some(flags => flags.includes('--inspect'))
  return isLoaded || isAskedFor ? inspector().url() : undefined
}

function inspector(): typeof import('node:inspector') {
  return process.getBuiltinModule('node:inspector')
}
