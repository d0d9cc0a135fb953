// The unit of a service manager that this process is: what starts, stops and restarts it from outside.
import { readFileSync } from 'node:fs'
import { isStartedBySystemd, serviceManager } from './service-manager.js'

/** A unit, and whose it is. */
export interface ServiceUnit {
  manager: 'systemd' | 'launchd'
  unit: string
  /** Whether it is the user's own manager that has it, not the system's. */
  user?: true
}

/** Finds the unit that this very process was started for; null where it was not, or the unit has no name. */
export function serviceUnit(): ServiceUnit | null {
  const { XPC_SERVICE_NAME } = process.env
  if (process.platform === 'darwin' && process.ppid === 1 && XPC_SERVICE_NAME && XPC_SERVICE_NAME !== '0')
    return { manager: 'launchd', unit: XPC_SERVICE_NAME }
  if (serviceManager() === null && !isStartedBySystemd()) return null
  return unitOf(controlGroups())
}

/** Finds the innermost service among the names of a control group, such as /system.slice/web.service: cgroups(7). */
export function unitOf(groups: string): ServiceUnit | null {
  for (const line of groups.split('\n')) {
    const [, controllers, path = ''] = /^\d+:([^:]*):(.*)$/.exec(line) ?? []
    if (controllers !== '' && controllers !== 'name=systemd') continue
    const names = path.split('/')
    const unit = names.findLast(name => name.endsWith('.service'))
    if (unit === undefined) continue
    const isUser = names.some(name => /^user@\d+\.service$/.test(name) && name !== unit)
    return { manager: 'systemd', unit, ...(isUser && { user: true }) }
  }
  return null
}

function controlGroups(): string {
  try {
    return readFileSync('/proc/self/cgroup', 'utf8')
  } catch {
    return ''
  }
}
